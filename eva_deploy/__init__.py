"""Models outside of training: exported files with proven parity, a page for the browser, benchmarks of formats."""
