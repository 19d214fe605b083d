"""The data check of detection."""
