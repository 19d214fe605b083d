"""Because of this file, pytest puts this folder on the path, and tests in sub-folders can import its helpers."""
