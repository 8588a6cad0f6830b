//! Engine.IO and Socket.IO: what a message is, and what an event's data holds.

use crate::Subject;
use core::hint::black_box;
use ringway_proto::engineio::Packet as Message;
use ringway_proto::socketio::{self, Arguments, Bounds, Packet, PacketKind, count_placeholders};

/// As clients send them: an echo and a publish that ask for an answer, one without, a namespace with its query, an attachment's packet.
const MESSAGES: [&str; 4] = [
    r#"4217["echo","0123456789012345678901234567890123456789012345678901234567890123"]"#,
    r#"42["publish","room 1","0123456789012345678901234567890123456789012345678901234567890123"]"#,
    r#"42/orders?a=b,1024["publish","order:17",{"state":"paid","lines":[1,2,3]}]"#,
    r#"451-/orders,7["publish","order:17",{"_placeholder":true,"num":0}]"#,
];

const BOUNDS: Bounds = Bounds {
    namespace_bytes_max: 128,
    attachments_max: 8,
    message_bytes_max: 1_000_000,
};

fn packet(message: &str) -> Packet<'_> {
    let Ok(Message::Text(_, text)) = Message::parse_text(message) else {
        unreachable!("a message of text");
    };
    Packet::parse(text, &BOUNDS).expect("a packet")
}

pub(crate) fn scan() -> Box<dyn Subject> {
    Box::new(|| {
        for at in 0..64 {
            let packet = packet(black_box(MESSAGES[at % MESSAGES.len()]));
            assert!(matches!(
                packet.kind,
                PacketKind::Event | PacketKind::BinaryEvent
            ));
            black_box(packet);
        }
    })
}

pub(crate) fn arguments() -> Box<dyn Subject> {
    let packets = MESSAGES.map(packet);
    Box::new(move || {
        for at in 0..64 {
            let packet = &packets[at % packets.len()];
            assert_eq!(placeholders(packet), Ok(packet.attachments));
        }
    })
}

fn placeholders(packet: &Packet<'_>) -> Result<u16, socketio::SocketIoError> {
    let arguments = Arguments::parse(black_box(packet.data))?;
    let counts = arguments.values.iter();
    let counts = counts.map(|value| count_placeholders(value, packet.attachments));
    counts.sum()
}
