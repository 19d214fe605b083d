"""Checks of the data of every task: findings, the scan of image files, and their output."""
