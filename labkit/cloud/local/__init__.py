"""A `googleapis.com` on this machine: storage, Vertex AI's services, and the door to both. A process of its own."""
