"""The composition root: definitions, jobs, schedules, settings, the command line and the DVC bridge."""

if __name__ == "pipelines":
    raise ImportError("`pipelines` has one name, `foretell.pipelines`: import it as that")
