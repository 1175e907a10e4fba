"""Runs the deployed firewall rules on a real ModSecurity in front of the local host."""
