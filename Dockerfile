# The package with its platform: `docker build -t foretell .`; examples/compose.yaml starts the services from it.
FROM python:3.11-slim
# LightGBM needs the OpenMP runtime, which slim images leave out.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The drivers are for a store in Postgres. The folders are made here, so that volumes belong to the user.
RUN pip install --no-cache-dir -c constraints.txt ".[platform,train]" dagster-postgres psycopg2-binary \
    && rm -rf /src \
    && useradd --create-home foretell \
    && mkdir -p /state/dagster \
    && chown -R foretell /state
WORKDIR /state
USER foretell
ENV FORETELL_HOME=/state \
    DO_NOT_TRACK=true \
    DAGSTER_DISABLE_TELEMETRY=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    GX_ANALYTICS_ENABLED=false
CMD ["foretell", "--help"]
