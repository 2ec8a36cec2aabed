"""What ``lapilli`` offers to Python: functions with typed options, and results that show
themselves."""
