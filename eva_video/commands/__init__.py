"""The command of video classification that is its own: its demo."""
