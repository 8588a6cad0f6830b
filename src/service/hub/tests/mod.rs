//! Clients made of bytes drive one or several hubs over rings in memory.
//!
//! Deliberately absent: the real loop and sockets.

mod budgets;
mod bursts;
mod clients;
mod hostile;
mod leftovers;
mod legs;
mod places;
mod proxies;
mod readers;
mod shelf;
mod slow_lines;
mod unread;
mod upload_news;
mod uploaders;
mod used_urls;
mod vectors;
mod world;
