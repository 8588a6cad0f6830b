// The bare dialect over uWebSockets: its epoll loop, its WebSocket parser, its publish and subscribe.
//
// A message arrives corked: uWebSockets joins all that its handler sends to that socket into one write. What is published while no socket is
// corked goes out joined, one write per subscriber and 32 messages. README.md says what becomes of more of them in a handler.

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <sys/socket.h>
#include <vector>

#include "App.h"

namespace {

constexpr unsigned payload_bytes_max = 1024 * 1024;
// What a member that does not read may leave waiting before it is closed; the floor has the same bound.
constexpr unsigned pending_bytes_max = 4 * 1024 * 1024;
// uSockets listens with 512; the kernel lowers this to net.core.somaxconn.
constexpr int backlog = 16 * 1024;

// A queue of publishes that is larger gives its memory back after use.
constexpr size_t bytes_kept = 64 * 1024;

// A connection carries no state of ours.
struct Nothing {};
using Socket = uWS::WebSocket<false, true, Nothing>;

[[noreturn]] void fail(const char *what) {
    std::fprintf(stderr, "%s\n", what);
    std::exit(1);
}

struct Words {
    int port = 0;
    // Handlers publish themselves, as in the library's examples.
    bool in_handlers = false;
};

Words words_of(int argc, char **argv) {
    Words words;
    words.in_handlers = argc > 1 && std::string_view(argv[1]) == "--in-handlers";
    const int at = words.in_handlers ? 2 : 1;
    if (argc != at + 2 || std::string_view(argv[at]) != "--port") {
        fail("usage: [--in-handlers] --port N");
    }
    const char *text = argv[at + 1];
    const char *end = text + std::strlen(text);
    if (std::from_chars(text, end, words.port).ptr != end || words.port <= 0 || words.port > 65535) {
        fail("a port is a number below 65536");
    }
    return words;
}

void raise_descriptors() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        fail("getrlimit");
    }
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        fail("setrlimit");
    }
}

struct Publish {
    size_t room_bytes;
    size_t message_bytes;
    uWS::OpCode opcode;
};

// What a turn of the loop brings to be published, in order. It is published by the next one, outside of any socket's handler.
class Publishes {
    uWS::App &app;
    const bool in_handlers;
    // Rooms' names and messages, one after the other.
    std::string bytes;
    std::vector<Publish> waiting;

public:
    Publishes(uWS::App &app, bool in_handlers) : app(app), in_handlers(in_handlers) {}

    // `p`, the length of the room's name in one byte, the name, the payload: every member gets `m` and the payload.
    void take(std::string_view message, uWS::OpCode opcode) {
        if (message.size() < 2) {
            return;
        }
        const size_t room_bytes = static_cast<unsigned char>(message[1]);
        if (message.size() < 2 + room_bytes) {
            return;
        }
        if (waiting.empty() && !in_handlers) {
            uWS::Loop::get()->defer([this] { commit(); });
        }
        const std::string_view payload = message.substr(2 + room_bytes);
        bytes.append(message.substr(2, room_bytes)).append(1, 'm').append(payload);
        waiting.push_back({room_bytes, 1 + payload.size(), opcode});
        if (in_handlers) {
            commit();
        }
    }

private:
    // App::publish and not the socket's: the latter leaves out the sender.
    void commit() {
        std::string_view rest = bytes;
        for (const Publish &one : waiting) {
            app.publish(rest.substr(0, one.room_bytes), rest.substr(one.room_bytes, one.message_bytes), one.opcode);
            rest.remove_prefix(one.room_bytes + one.message_bytes);
        }
        waiting.clear();
        bytes.clear();
        if (bytes.capacity() > bytes_kept) {
            bytes.shrink_to_fit();
        }
    }
};

} // namespace

int main(int argc, char **argv) {
    const Words words = words_of(argc, argv);
    raise_descriptors();

    uWS::App app;
    Publishes publishes(app, words.in_handlers);
    uWS::App::WebSocketBehavior<Nothing> behaviour;
    behaviour.compression = uWS::DISABLED;
    behaviour.maxPayloadLength = payload_bytes_max;
    behaviour.maxBackpressure = pending_bytes_max;
    behaviour.closeOnBackpressureLimit = true;
    // No timeout at all: neither a ping nor a timer's visit falls into a measurement.
    behaviour.idleTimeout = 0;
    behaviour.sendPingsAutomatically = false;
    behaviour.resetIdleTimeoutOnSend = false;
    behaviour.message = [&](Socket *socket, std::string_view message, uWS::OpCode opcode) {
        if (message.empty()) {
            return;
        }
        switch (message[0]) {
        case 'e':
            socket->send(message, opcode);
            break;
        case 'j':
            socket->subscribe(message.substr(1));
            socket->send(message, opcode);
            break;
        case 'p':
            publishes.take(message, opcode);
            break;
        default:
            break;
        }
    };
    app.ws<Nothing>("/", std::move(behaviour));
    app.listen("127.0.0.1", words.port, [](us_listen_socket_t *listener) {
        if (listener == nullptr) {
            fail("the port is taken");
        }
        // Listening again only replaces the backlog.
        const int descriptor = us_poll_fd(reinterpret_cast<us_poll_t *>(listener));
        if (::listen(descriptor, backlog) != 0) {
            fail("listen");
        }
        std::puts("ready");
        std::fflush(stdout);
    });
    app.run();
}
