//! The catalogue of codes: what happened, to whom, what to do. `ringway explain CODE` prints an entry.

/// One code.
pub struct Entry {
    /// Such as `RW-2104`.
    pub code: &'static str,
    /// What happened, to whom.
    pub happened: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

impl core::fmt::Display for Entry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{}\n  What happened: {}\n  What to do:    {}",
            self.code, self.happened, self.remedy
        )
    }
}

/// The entry of a code, whatever its case.
#[must_use]
pub fn explain(code: &str) -> Option<&'static Entry> {
    CATALOGUE
        .iter()
        .find(|entry| entry.code.eq_ignore_ascii_case(code))
}

const fn entry(code: &'static str, happened: &'static str, remedy: &'static str) -> Entry {
    Entry {
        code,
        happened,
        remedy,
    }
}

/// All codes, in order.
pub static CATALOGUE: &[Entry] = &[
    entry(
        "RW-1001",
        "The daemon did not start: the kernel lacks what it needs.",
        "Run Linux 6.1 or later.",
    ),
    entry(
        "RW-1002",
        "The daemon did not start: a seccomp filter denies io_uring, as container runtimes do by default.",
        "Allow io_uring_setup, io_uring_enter and io_uring_register in the container's profile.",
    ),
    entry(
        "RW-1003",
        "The daemon did not start: the sysctl kernel.io_uring_disabled denies io_uring.",
        "Set kernel.io_uring_disabled=0.",
    ),
    entry(
        "RW-1004",
        "The daemon did not start: RLIMIT_MEMLOCK is too small for its rings.",
        "Raise LimitMEMLOCK (ulimit -l), or run fewer shards.",
    ),
    entry(
        "RW-1005",
        "The daemon did not start: RLIMIT_NOFILE is too small for a shard's table of sockets.",
        "Raise LimitNOFILE (ulimit -n), or lower shards.connections_max.",
    ),
    entry(
        "RW-1006",
        "The daemon did not start: it cannot listen on an address.",
        "Stop what uses it, or choose another by --listen or --admin.",
    ),
    entry(
        "RW-1007",
        "The daemon did not start, or reload: a key or token file cannot be used.",
        "Correct its path, permissions or content.",
    ),
    entry(
        "RW-1008",
        "The configuration has an unknown key.",
        "Correct or remove it; the message names it.",
    ),
    entry(
        "RW-1009",
        "The configuration has a value that is not usable.",
        "Correct it; the message names it.",
    ),
    entry(
        "RW-1010",
        "The daemon did not start: no way to authenticate clients is configured.",
        "Configure [[auth.keys]], or try things out with --dev.",
    ),
    entry(
        "RW-1011",
        "The configuration file cannot be read.",
        "Correct its path, permissions or syntax.",
    ),
    entry(
        "RW-1012",
        "The daemon did not start: the system refused something else.",
        "The message has the cause.",
    ),
    entry(
        "RW-1013",
        "A link's socket cannot be made where link.listen says: somebody listens there, or the path cannot be used.",
        "Stop what uses it, correct the path or its permissions, or choose another by --link.",
    ),
    entry(
        "RW-1014",
        "A directory of files.roots cannot be opened, or uploads.directory or files.used_urls cannot be used.",
        "Correct the path or its permissions, or remove it.",
    ),
    entry(
        "RW-2001",
        "A client's HTTP request cannot be understood, or two servers could read it differently; its connection was closed.",
        "Correct the client or the proxy between.",
    ),
    entry(
        "RW-2002",
        "A client's request for a WebSocket was wrong.",
        "Use a client of RFC 6455, version 13.",
    ),
    entry(
        "RW-2003",
        "A client broke the WebSocket protocol; its connection was closed with the code of RFC 6455 section 7.4.1.",
        "Correct the client.",
    ),
    entry(
        "RW-2004",
        "A client's Engine.IO request does not fit its session (another transport, a second GET, POST or probe at a time, a body that was refused), or its transport and its Upgrade header contradict each other; it was answered 400 with Engine.IO's error 3.",
        "Correct the client; if requests come without their Upgrade header, let the proxy between pass it on.",
    ),
    entry(
        "RW-2005",
        "A polling client made two requests of one kind at a time; its session was closed.",
        "Do not share a session id between clients.",
    ),
    entry(
        "RW-2006",
        "A polling client sent a malformed or too large body; its session was closed.",
        "Correct the client; engine.payload_bytes_max is the bound.",
    ),
    entry(
        "RW-2007",
        "A client sent a malformed packet; its session was closed.",
        "Use Socket.IO protocol 5 (client versions 3 and 4).",
    ),
    entry(
        "RW-2008",
        "A client sent an attachment that no packet waits for, or too many bytes; its session was closed.",
        "Correct the client; engine.payload_bytes_max is the bound.",
    ),
    entry(
        "RW-2009",
        "A client asked for a namespace twice, or with a name that cannot be; its session was closed. With an application a name that is too long is refused alone (CONNECT_ERROR).",
        "Correct the client.",
    ),
    entry(
        "RW-2010",
        "A client asked for more namespaces than limits.namespaces_max. One of an application's was refused (CONNECT_ERROR), and its others go on; for one of the daemon's own its session was closed.",
        "Use fewer namespaces, or raise the limit.",
    ),
    entry(
        "RW-2011",
        "A client joined no namespace within engine.connect_timeout_ms; its session was closed.",
        "Correct the client.",
    ),
    entry(
        "RW-2012",
        "A client did not answer a ping within engine.ping_timeout_ms; its session was closed.",
        "Nothing: the client was gone, and connects again when it can. If there are many, look at ringway_laps_behind_total: clients of an overloaded machine are late.",
    ),
    entry(
        "RW-2013",
        "A connection said nothing, or too little, in time; it was closed.",
        "Nothing for idle clients; limits.head_timeout_ms is the bound for request heads.",
    ),
    entry(
        "RW-2014",
        "Nothing is served at the path of a request.",
        "Correct the path; engine.path is where clients connect.",
    ),
    entry(
        "RW-2015",
        "A client sent an event that native namespaces do not have.",
        "Use join, leave, publish, echo, refresh or info.",
    ),
    entry(
        "RW-2016",
        "A client sent an event with wrong arguments.",
        "Correct them; the README has the table.",
    ),
    entry(
        "RW-2017",
        "A connection broke while packets of a polling session were on their way in an answer; the session was closed, for what was in it may be lost.",
        "Nothing: the client connects again by itself.",
    ),
    entry(
        "RW-2018",
        "A client's Engine.IO request names no transport, or one that is unknown; it was answered 400 with Engine.IO's error 0.",
        "Use transport=polling or transport=websocket; a browser that opens engine.path by hand gets this, too.",
    ),
    entry(
        "RW-2019",
        "A client's Engine.IO request names a session that does not exist, or no longer does; it was answered 400 with Engine.IO's error 1.",
        "Nothing for single ones, or after a restart: the client connects again by itself. If they go on, requests of one client reach different hosts: make the balancer keep a client on its host.",
    ),
    entry(
        "RW-2020",
        "A client tried to open an Engine.IO session by another method than GET; it was answered 400 with Engine.IO's error 2.",
        "Correct the client; a POST without sid is most often one.",
    ),
    entry(
        "RW-2021",
        "A client speaks another version of the Engine.IO protocol, or does not say which; it was answered 400 with Engine.IO's error 5.",
        "Use protocol 4 (EIO=4), as socket.io-client 3 and 4 do.",
    ),
    entry(
        "RW-2101",
        "A client tried to join a namespace, or asked for a file or an upload, without a token.",
        "Send one as auth.token; for files and uploads as Authorization: Bearer, or take a signed URL (ringway url).",
    ),
    entry(
        "RW-2102",
        "A client's token is malformed.",
        "Send a signed JWT.",
    ),
    entry(
        "RW-2103",
        "A client's token names a key that is not configured.",
        "Configure the key, or correct the token's kid.",
    ),
    entry(
        "RW-2104",
        "A client's token has another algorithm than its key.",
        "Sign with the key's algorithm; never accept what the token says.",
    ),
    entry(
        "RW-2105",
        "A client's token has a wrong signature.",
        "Check that issuer and daemon have the same key; otherwise somebody forges tokens.",
    ),
    entry(
        "RW-2106",
        "A client's token has expired; if it was connected, its connection was closed so that it comes back with a new one.",
        "Give the client a fresh token, by auth on connect or by the event refresh before it expires.",
    ),
    entry(
        "RW-2107",
        "A client's token is not valid yet.",
        "Check the clocks; auth.leeway_seconds is tolerated.",
    ),
    entry(
        "RW-2108",
        "A client's token lacks a claim that is needed, or has one that is not accepted (issuer, audience, another subject on refresh).",
        "Correct the token's claims.",
    ),
    entry(
        "RW-2109",
        "A client may not do this by its token's rw claim.",
        "Add the room's pattern to rw.join or rw.publish.",
    ),
    entry(
        "RW-2110",
        "A browser's page of a foreign origin was refused.",
        "Add the origin to origins.allowed if it is yours.",
    ),
    entry(
        "RW-2111",
        "A trusted proxy sent a malformed PROXY header, or a request whose Forwarded and X-Forwarded-For name different clients; it was refused.",
        "Correct the proxy, or say by proxies.header which header it writes.",
    ),
    entry(
        "RW-2201",
        "A connection sends events faster than limits.connection_events_per_second; the event was refused.",
        "Slow the client down, or raise the limit.",
    ),
    entry(
        "RW-2202",
        "A user sends events, or begins uploads that name a room, faster than limits.user_events_per_second; the event was refused, the upload answered 429.",
        "Slow the client down, or raise the limit.",
    ),
    entry(
        "RW-2203",
        "A room gets messages and news of uploads faster than limits.room_messages_per_second; the message was refused, the news left out.",
        "Publish less, or raise the limit.",
    ),
    entry(
        "RW-2204",
        "An address sends events, or begins uploads that name a room, faster than limits.address_events_per_second; the event was refused, the upload answered 429.",
        "Raise the limit if many users share the address, or configure proxies.trusted.",
    ),
    entry(
        "RW-2205",
        "An address connects more often, or has more connections on one shard, than it may; the connection was closed. What was read already (a request behind a proxy, or for a session on another shard) was answered 429.",
        "Raise limits.address_connections_max or limits.address_connections_per_second if many users share the address, or configure proxies.trusted.",
    ),
    entry(
        "RW-2206",
        "A shard takes no more clients: its table, its sessions or its memory for queues and input are full; existing members are untouched.",
        "Add hosts, or raise shards.connections_max, limits.shard_sessions_max, limits.shard_queue_bytes_max or limits.shard_input_bytes_max.",
    ),
    entry(
        "RW-2207",
        "The daemon was too busy for a request.",
        "Try again; if it stays so, add shards or hosts.",
    ),
    entry(
        "RW-2301",
        "A client named a room by an empty or too long name, or one with control characters.",
        "Correct the name; 256 bytes are allowed.",
    ),
    entry(
        "RW-2302",
        "A session is in limits.session_rooms_max rooms already.",
        "Leave some, or raise the limit.",
    ),
    entry(
        "RW-2303",
        "A shard has limits.shard_rooms_max rooms already.",
        "Use fewer rooms, or raise the limit.",
    ),
    entry(
        "RW-2304",
        "A session tried to leave a room that it is not in.",
        "Nothing.",
    ),
    entry(
        "RW-2401",
        "A client read too slowly for the policy of a room, or asked on and on without reading the answers; its connection was closed, so that it comes back.",
        "Send less, raise limits.queue_packets_max, or choose drop-oldest or conflate for the room in rooms.slow_consumers.",
    ),
    entry(
        "RW-2402",
        "The daemon is being stopped; the connection was closed so that the client comes back.",
        "Nothing: clients connect again by themselves.",
    ),
    entry(
        "RW-2501",
        "An operator's request had no or a wrong bearer token.",
        "Send the token of admin.token_file; without one only loopback may ask, of an address or localhost.",
    ),
    entry(
        "RW-2502",
        "An operator asked for a room that no shard knows.",
        "Nothing: the room has no members and no recent messages.",
    ),
    entry(
        "RW-2503",
        "An operator's message is not of the right shape.",
        "Send {\"room\": …, \"data\": …} and perhaps \"namespace\", as application/json.",
    ),
    entry(
        "RW-2504",
        "A room's shard was too busy for an operator's message.",
        "Try again.",
    ),
    entry(
        "RW-2505",
        "An operator asked for a page behind a place that is none.",
        "Pass as after what an earlier answer said in next.",
    ),
    entry(
        "RW-2601",
        "A client's application was away for longer than link.hold_ms, and the client was closed; it comes back by itself.",
        "Start the application, and look at its log; raise link.hold_ms if starting takes longer.",
    ),
    entry(
        "RW-2602",
        "The application closed a client's connection.",
        "Nothing, if it meant to.",
    ),
    entry(
        "RW-2603",
        "A client was refused, as all workers of its application are failing and link.on_failure is refuse; it comes back by itself.",
        "Look at the lines RW-2604 in the daemon's log and at the application's own log.",
    ),
    entry(
        "RW-2604",
        "A worker gets no clients for now: it deals with nothing of what it was sent, or workers of its name died again and again, or said what they must not. Its clients went to others if there are any; after a while it is tried with one client.",
        "Look at the worker's log: a handler that does not return to the event loop, an exception at start, two versions of the SDK. link.stall_ms and link.failures_max say when it happens.",
    ),
    entry(
        "RW-2605",
        "The links of a process (over TCP: of a host) are closed as soon as they come, for a while: 20 of them within link.failures_within_ms were refused for what they said.",
        "Find the process; its own log has what the daemon told it. Two versions of the SDK, a wrong secret, or something that is no worker.",
    ),
    entry(
        "RW-2606",
        "A client's worker is gone before it acknowledged an event of the client's, and link.on_worker_loss is strict: the client was closed; it comes back by itself.",
        "Look at the worker's log for why it died. The client's own timeout and retries say what becomes of the event.",
    ),
    entry(
        "RW-2607",
        "A worker has a namespace that is another application's, and gets no clients in it; a client that was about to come to it there was closed, and comes back by itself.",
        "List the namespace under link.applications, if it is the other one's; do not make it in this one, or do not let clients choose its name there.",
    ),
    entry(
        "RW-2608",
        "A link was closed for what its worker said, or for saying nothing; the line has the code of docs/link.md that the worker was told. The same of one peer is told once a minute.",
        "proof: the secrets differ. version, bad-json: two versions of the SDK. not-allowed: link.application, or what else the line says. silent: what connects there is no worker.",
    ),
    entry(
        "RW-2609",
        "A worker has a namespace that is in namespaces.native: the daemon serves it, and the worker gets no clients in it.",
        "Take it out of namespaces.native, if it is the application's; else do not make it there.",
    ),
    entry(
        "RW-2610",
        "A link came by a Unix socket from a process of another user, and was closed before anything was said: a worker runs as the daemon's own user, or as root.",
        "Run the worker as the daemon's user, or let it join over TCP with link.secret_file. ringway_links_refused_total counts such links, too.",
    ),
    entry(
        "RW-2611",
        "A client asked to come in, and the application had not said within five seconds whether it may; the client was answered 503.",
        "See what its middlewares of io.engine and its allowRequest wait for; ringway_upstream_questions_late_total counts them.",
    ),
    entry(
        "RW-2612",
        "The application's word on a client's request could not be passed on: a status outside 200 to 599, a header that HTTP has not, more than 16 KiB of headers, or too long a name for the session.",
        "Mend the middleware of io.engine, header hook or generateId that makes it.",
    ),
    entry(
        "RW-2613",
        "The application did not let a client in: a middleware of io.engine ended its request, or allowRequest refused it.",
        "Nothing, if it meant to.",
    ),
    entry(
        "RW-2614",
        "A worker floods: for link.flood_ms it said more than can be carried to clients, though it was made to wait. Its clients went to other workers of its application; nothing of it is read for a while, and then it is tried with one client.",
        "Look for what emits in a loop, or for each event to everybody. A job that has much to say says it in pieces; link.flood_ms says how long it may take.",
    ),
    entry(
        "RW-2615",
        "Workers die on a client: so many in a row as link.client_deaths_max says ended by an exception while they had something of it, and the last of them had nobody else who was suspect. It was told to leave its namespaces, or that it does not get in, and its connection was closed; clients do not come back after that by themselves.",
        "Look into the log of the worker for the exception, and mend the handler that throws it. ringway_upstream_clients_dismissed_total counts such clients.",
    ),
    entry(
        "RW-2616",
        "An application has as many namespaces as link.namespaces_max: a client that asked for a new one was refused (CONNECT_ERROR); its other ones, and clients of those that are there, go on. The line has the application, the namespace and how many there are, once a minute.",
        "Raise link.namespaces_max; let the server drop those that are empty (cleanupEmptyChildNamespaces); or, if clients make names up, check them where the dynamic namespace is made.",
    ),
    entry(
        "RW-2701",
        "A request's path under a file root cannot be a file: `..`, an encoded slash, a control character, a wrong escape, an empty name, bytes that are not UTF-8 (400), or more than 4,096 bytes (414).",
        "Correct the client: names are escaped once, and separated by plain slashes.",
    ),
    entry(
        "RW-2702",
        "There is no file at a request's path, or it may not be seen: hidden names, directories without an index, devices, links that lead out of the root.",
        "Correct the path, or put the file beneath the root.",
    ),
    entry(
        "RW-2703",
        "A request for a file had another method than GET or HEAD; it was answered 405.",
        "Correct the client; uploads have a path of their own.",
    ),
    entry(
        "RW-2704",
        "A request asked for ranges that the file has not, or for more than 32 at a time; it was answered 416 with the file's length.",
        "Ask for what Content-Range says there is, in fewer ranges.",
    ),
    entry(
        "RW-2705",
        "A request's If-Match or If-Unmodified-Since does not hold for the file as it is now; it was answered 412.",
        "Read the file again before going on.",
    ),
    entry(
        "RW-2706",
        "A signed URL is malformed, was changed, is for another method or path, or its key is not configured any more; it was answered 403.",
        "Pass the URL on as it was minted; keep a retired key as long as its URLs live.",
    ),
    entry(
        "RW-2707",
        "A signed URL was used after its time; it was answered 410.",
        "Mint another one; check the clocks if it was fresh.",
    ),
    entry(
        "RW-2708",
        "A one-time URL was used again; it was answered 410.",
        "Mint another one. A download that broke off needs one, too.",
    ),
    entry(
        "RW-2709",
        "65,536 one-time URLs of a shard were used and have not expired, which is as many as it remembers; another one was answered 503, as a used one could not be told from it.",
        "Mint one-time URLs that expire sooner, or run more shards.",
    ),
    entry(
        "RW-2710",
        "A client may not read a file, or write an upload, by its token's rw claim; it was answered 403.",
        "Add the file's pattern to rw.files, or the upload's name to rw.uploads.",
    ),
    entry(
        "RW-2711",
        "The system refused to read a file that is there; the request was answered 500, or its connection closed if the answer had begun.",
        "See the daemon's log for the error; check permissions and the disk.",
    ),
    entry(
        "RW-2712",
        "That a one-time URL is used could not be written to the disk; the request was answered 503, and the URL is good for another try.",
        "Check the disk of files.used_urls, or else of uploads.directory: whether it is full, read-only or broken.",
    ),
    entry(
        "RW-2713",
        "Lines of the journals of used one-time URLs cannot be read at the start, or the journals could not be written anew; a use that only such a line knew of is forgotten, everything else counts.",
        "One line that a crash cut is nothing to worry about: its client was not answered. For more of them check the disk.",
    ),
    entry(
        "RW-2801",
        "An upload's request has no Tus-Resumable, or another version than 1.0.0; it was answered 412.",
        "Use a client of tus 1.0.0.",
    ),
    entry(
        "RW-2802",
        "An upload's request has headers that are missing, malformed, too long, or contradict each other; it was answered 400.",
        "Correct the client; the message of the answer is about Upload-Length, Upload-Offset, Upload-Metadata, Upload-Checksum, Upload-Concat or Upload-Defer-Length.",
    ),
    entry(
        "RW-2803",
        "A request named an upload that does not exist, or is somebody else's; it was answered 404.",
        "Create a new one; tus clients do it by themselves.",
    ),
    entry(
        "RW-2804",
        "A request named an upload that has expired or was terminated; it was answered 410.",
        "Create a new one; raise uploads.expire_seconds if clients need longer.",
    ),
    entry(
        "RW-2805",
        "An upload was to be continued at another offset than it has; it was answered 409.",
        "Nothing: the client asks for the offset and goes on from there.",
    ),
    entry(
        "RW-2806",
        "An upload is larger than uploads.bytes_max, or its body goes beyond its Upload-Length; it was answered 413.",
        "Raise the limit, or correct the client.",
    ),
    entry(
        "RW-2807",
        "An upload's body has another Content-Type than application/offset+octet-stream; it was answered 415.",
        "Use a tus client; forms are not understood.",
    ),
    entry(
        "RW-2808",
        "Two requests would have written to one upload; the second was answered 423.",
        "Nothing: the client tries again; the first may be a connection that broke without a word.",
    ),
    entry(
        "RW-2809",
        "Bytes of an upload do not have the checksum in Upload-Checksum; they were thrown away and the request answered 460.",
        "Nothing for single ones, the client sends them again; otherwise something between changes bodies.",
    ),
    entry(
        "RW-2810",
        "A user has uploads.user_bytes_max bytes or uploads.user_uploads_max uploads already; another one was answered 413.",
        "Finish or terminate some, or raise the limits.",
    ),
    entry(
        "RW-2811",
        "There are uploads.uploads_max uploads already, or 16 MiB of Upload-Concat headers of those of a shard; another one was answered 503.",
        "Raise the limit, or let unfinished ones expire sooner.",
    ),
    entry(
        "RW-2812",
        "The disk of uploads is full; what was stored before counts, and the request was answered 507.",
        "Make room; the client goes on from where it was. The log says it once a minute, with how often meanwhile.",
    ),
    entry(
        "RW-2813",
        "The system refused to write, sync or rename an upload's file; what was synced before counts, and the request was answered 500.",
        "See the daemon's log for the error, which is there once a minute with how often meanwhile; check the disk. If the directory is gone, put it back and restart: a daemon keeps to the one that it was started with.",
    ),
    entry(
        "RW-2814",
        "A request would have written to an upload that is a concatenation, or would have put together uploads that are not whole partial ones; it was answered 403.",
        "Correct the client: bytes go to partial uploads, and those are complete before they are put together.",
    ),
    entry(
        "RW-2815",
        "A request for an upload had a method that uploads do not know there; it was answered 405.",
        "Correct the client.",
    ),
    entry(
        "RW-2816",
        "The file system of uploads is mounted read-only, or became so after an error; the request was answered 503.",
        "Check the disk, and mount it for writing again; the client goes on from where it was.",
    ),
    entry(
        "RW-2817",
        "A record in the directory of uploads cannot be read at the start, is none that this version would have written, or is of an upload that is encrypted by a key that is not there; its upload is not known, and its files are left as they are.",
        "Restore the record from a backup, start the version that wrote it, or name its master key in uploads.key_files; remove the upload's files if nobody wants them.",
    ),
    entry(
        "RW-2818",
        "A client announced a checksum behind the bytes of its upload (Trailer: Upload-Checksum), which is not read; it was answered 400.",
        "Send Upload-Checksum with the head, or none: tus clients do so where Tus-Extension does not name checksum-trailer.",
    ),
    entry(
        "RW-2819",
        "A user sends uploads.user_bodies_max bodies of uploads to one shard already, or half of what all users together may, or all of them together three eighths of files.open_max; another one was answered 503.",
        "Nothing, if clients send that many at a time: they come again. Or raise uploads.user_bodies_max or files.open_max; metrics say who is slow: ringway_upload_transfers.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_service::refusal::Refusal;

    #[test]
    fn every_refusal_is_explained() {
        for refusal in Refusal::ALL {
            assert!(explain(refusal.code()).is_some(), "{}", refusal.code());
        }
    }

    #[test]
    fn codes_are_in_order_and_single() {
        assert!(CATALOGUE.is_sorted_by(|a, b| a.code < b.code));
    }
}
