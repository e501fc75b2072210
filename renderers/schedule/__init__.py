"""A scheduled measurement as the text of each scheduler: crontab, systemd, Kubernetes."""
