"""Plans autoscaling."""
