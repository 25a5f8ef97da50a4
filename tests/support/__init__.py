"""What the mount tests and the demo share: servers, sample mail, and mounts that always end."""
