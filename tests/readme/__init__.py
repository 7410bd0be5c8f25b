"""What README files hold, and how it is run on small models: for tests/test_readme.py."""
