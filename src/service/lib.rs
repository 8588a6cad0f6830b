//! Decisions: sessions, rooms, auth, limits. Sans-IO: never sees a socket, a clock or a shard's memory.
//!
//! Deliberately absent: how bytes move (`shards/`), configuration files, the admin surface.
