"""What an agent's run is made of: the agent, the model that it sees, and the short ways."""
