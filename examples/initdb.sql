-- Two databases beside each other: Dagster's and MLflow's.
create database dagster owner foretell;
create database mlflow owner foretell;
