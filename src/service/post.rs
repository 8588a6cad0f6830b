//! The rings to the other shards, as the service knows them.

/// The class of a message decides what its handling may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Handling it needs no ring space.
    Deliver,
    /// The answer to a request.
    Reply,
    /// Handled only when what it causes fits.
    Request,
}

/// Whether a message could be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailOutcome {
    /// Done.
    Taken,
    /// A request that has to wait for ring space.
    Wait,
}

/// Sends messages to other shards. A message is the concatenation of its parts; `false` means that nothing was sent.
pub trait Post {
    /// Whether a deliver message of that size would fit now.
    fn deliver_fits(&mut self, to: u16, bytes: usize) -> bool;
    /// Sends a delivery.
    fn deliver(&mut self, to: u16, parts: &[&[u8]]) -> bool;
    /// Sends a request and reserves the space of its reply.
    fn request(&mut self, to: u16, parts: &[&[u8]]) -> bool;
    /// Sends a request without a reply.
    fn request_one_way(&mut self, to: u16, parts: &[&[u8]]) -> bool;
    /// Answers a request; the space was reserved.
    fn reply(&mut self, to: u16, parts: &[&[u8]]);
}
