"""The portal users' face: what the people who stand by patients see, and the front door for those who lost the way."""
