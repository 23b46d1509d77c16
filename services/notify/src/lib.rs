//! Outgoing notifications: what happens to cases, told to webhooks, chats and pagers.
