"""The HTTP side: the one place that composes everything else."""
