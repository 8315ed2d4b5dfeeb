"""The composition root: definitions, jobs, schedules, settings, the command line and the DVC bridge."""
