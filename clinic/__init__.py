"""What happens inside one clinic. Nothing here knows of HTTP, and nothing asks which clinic it is in."""
