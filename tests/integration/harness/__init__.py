"""What the integration tests share: servers, certificates, the daemon, and ways to wait."""
