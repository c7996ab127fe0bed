"""The local stand-in for AWS regions: gateway, registries, git servers, control port."""
