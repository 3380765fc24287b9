"""What is looked at: a page to listen to, plots, dashboards; reached through entry points."""
