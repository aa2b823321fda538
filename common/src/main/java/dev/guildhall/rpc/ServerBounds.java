package dev.guildhall.rpc;

import java.time.Duration;

/**
 * What a server lets one peer, or all of them, take from it, whoever they are.
 *
 * @param metadataBytes headers of a call
 * @param callsPerConnection open at once
 * @param connections open at once
 * @param handshake until a new connection has said that it speaks TLS, if so, and HTTP/2
 * @param keepAlive a peer that is silent so long is asked for a sign of life
 * @param keepAliveAnswer and is given up after as long
 */
record ServerBounds(
    int metadataBytes,
    int callsPerConnection,
    int connections,
    Duration handshake,
    Duration keepAlive,
    Duration keepAliveAnswer) {

  static final ServerBounds STANDARD =
      new ServerBounds(
          // gRPC's own: a token and a deadline take a hundredth of it.
          8 << 10,
          // More than an engine has requests in flight; whoever wants more waits or streams.
          1024,
          // Hundreds of clients and routers; a silent connection costs some 20 KB.
          10_000,
          // A handshake across the world takes one.
          Duration.ofSeconds(10),
          // A dead peer is found within 50 s; those that live answer a few bytes.
          Duration.ofSeconds(30),
          Duration.ofSeconds(20));
}
