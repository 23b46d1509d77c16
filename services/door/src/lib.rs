//! The door: who is calling. API keys, sessions, OpenID Connect, and the limits on guessing.
