//! Nothing: this package exists to lock the sources of uWebSockets. The server is `server.cpp`, and `../build` compiles it.
