"""The backend that runs on the compiled CPU engine."""
