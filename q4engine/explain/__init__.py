"""Why a model is as slow as it is on this machine, what to change, and what that really gives."""
