//! What a client asks of a native namespace: the event's name and arguments become a [`Command`].
//!
//! Deliberately absent: whether the client may, and what then happens.

use crate::refusal::Refusal;
use crate::rooms::is_room_name;
use ringway_proto::socketio;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The longest conflation key.
pub(crate) const KEY_BYTES_MAX: usize = 128;

/// One event of a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    /// `join(room, opts?, ack)`.
    Join {
        /// Which room.
        room: String,
    },
    /// `leave(room, ack)`.
    Leave {
        /// Which room.
        room: String,
    },
    /// `publish(room, data, opts?, ack?)`.
    Publish {
        /// Where to.
        room: String,
        /// JSON with placeholders for the attachments.
        data: &'a str,
        /// `opts.key`: a newer message of the same key may replace this one in a queue that conflates.
        key: Option<String>,
    },
    /// `echo(data, ack)`.
    Echo {
        /// JSON with placeholders for the attachments.
        data: &'a str,
    },
    /// `refresh(token, ack)`.
    Refresh {
        /// A token that replaces the one of CONNECT.
        token: String,
    },
    /// `info(ack)`: which shard and server this is.
    Info,
}

#[derive(Deserialize, Default)]
struct PublishOptions {
    key: Option<String>,
}

impl<'a> Command<'a> {
    /// Reads an event's array (`["join","lobby"]`) with its count of attachments.
    ///
    /// # Errors
    /// What is wrong with it, to be told in the ack.
    pub(crate) fn parse(data: &'a str, attachments: u16) -> Result<Self, Refusal> {
        let arguments = socketio::Arguments::parse(data).map_err(|_| Refusal::BadArguments)?;
        let (name, args) = (arguments.name, &arguments.values[..]);
        if attachments > 0 && !matches!(&*name, "publish" | "echo") {
            return Err(Refusal::BadArguments);
        }
        match &*name {
            "join" => Ok(Self::Join {
                room: room_of(args)?,
            }),
            "leave" => Ok(Self::Leave {
                room: room_of(args)?,
            }),
            "publish" => publish_of(args, attachments),
            "echo" => Ok(Self::Echo {
                data: args.first().map_or("null", |arg| arg.get()),
            }),
            "refresh" => Ok(Self::Refresh {
                token: args
                    .first()
                    .map_or(Err(Refusal::BadArguments), |arg| read(arg))?,
            }),
            "info" => Ok(Self::Info),
            _ => Err(Refusal::UnknownEvent),
        }
    }
}

fn publish_of<'a>(args: &[&'a RawValue], attachments: u16) -> Result<Command<'a>, Refusal> {
    let room = room_of(args)?;
    let data: &RawValue = args.get(1).ok_or(Refusal::BadArguments)?;
    let options = args
        .get(2)
        .map_or_else(|| Ok(PublishOptions::default()), |arg| options_of(arg))?;
    if options
        .key
        .as_ref()
        .is_some_and(|key| key.len() > KEY_BYTES_MAX)
    {
        return Err(Refusal::BadArguments);
    }
    // The attachments travel with `data` alone: one that is named anywhere else would arrive without its placeholder.
    let named =
        socketio::count_placeholders(data, attachments).map_err(|_| Refusal::BadArguments)?;
    if named != attachments {
        return Err(Refusal::BadArguments);
    }
    Ok(Command::Publish {
        room,
        data: data.get(),
        key: options.key,
    })
}

/// An object, or nothing: serde would read a struct from an array too.
fn options_of(arg: &RawValue) -> Result<PublishOptions, Refusal> {
    match arg.get() {
        "null" => Ok(PublishOptions::default()),
        text if text.starts_with('{') => read(arg),
        _ => Err(Refusal::BadArguments),
    }
}

fn read<'a, T: Deserialize<'a>>(arg: &'a RawValue) -> Result<T, Refusal> {
    serde_json::from_str(arg.get()).map_err(|_| Refusal::BadArguments)
}

fn room_of(args: &[&RawValue]) -> Result<String, Refusal> {
    let room: Option<String> = args.first().and_then(|arg| read(arg).ok());
    room.filter(|room| is_room_name(room))
        .ok_or(Refusal::BadRoom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(data: &str, expected: Result<Command<'_>, Refusal>) {
        assert_eq!(Command::parse(data, 0), expected, "{data}");
    }

    #[test]
    fn events_become_commands() {
        check(
            r#"["join","lobby"]"#,
            Ok(Command::Join {
                room: "lobby".into(),
            }),
        );
        check(
            r#"["join","lobby",{"x":1}]"#,
            Ok(Command::Join {
                room: "lobby".into(),
            }),
        );
        check(
            r#"["leave","l\u00f6bby"]"#,
            Ok(Command::Leave {
                room: "löbby".into(),
            }),
        );
        check(
            r#"["publish","a",{"b":1}]"#,
            Ok(Command::Publish {
                room: "a".into(),
                data: r#"{"b":1}"#,
                key: None,
            }),
        );
        check(
            r#"["publish","a",1,null]"#,
            Ok(Command::Publish {
                room: "a".into(),
                data: "1",
                key: None,
            }),
        );
        let keyed = Command::Publish {
            room: "a".into(),
            data: "1",
            key: Some("k".into()),
        };
        check(r#"["publish","a",1,{"key":"k"}]"#, Ok(keyed));
        check(r#"["echo"]"#, Ok(Command::Echo { data: "null" }));
        check(
            r#"["refresh","t"]"#,
            Ok(Command::Refresh { token: "t".into() }),
        );
        check(r#"["info"]"#, Ok(Command::Info));
    }

    #[test]
    fn wild_arguments_are_refused() {
        check(r#"["join"]"#, Err(Refusal::BadRoom));
        check(r#"["join",7]"#, Err(Refusal::BadRoom));
        check(r#"["join",""]"#, Err(Refusal::BadRoom));
        check(r#"["join","a\u0000b"]"#, Err(Refusal::BadRoom));
        let long = format!(r#"["join","{}"]"#, "x".repeat(257));
        check(&long, Err(Refusal::BadRoom));
        check(r#"["publish","a"]"#, Err(Refusal::BadArguments));
        check(r#"["publish","a",1,{"key":7}]"#, Err(Refusal::BadArguments));
        check(r#"["publish","a",1,["k"]]"#, Err(Refusal::BadArguments));
        check(r#"["refresh",{}]"#, Err(Refusal::BadArguments));
        check(r#"["drop tables"]"#, Err(Refusal::UnknownEvent));
    }
}
