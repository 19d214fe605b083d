"""What all tasks share: training, configs, checkpoints, memory planning, inspection, prediction, reports, commands."""
