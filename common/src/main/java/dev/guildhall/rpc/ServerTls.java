package dev.guildhall.rpc;

import java.nio.file.Path;
import java.util.Optional;

/**
 * TLS of a process's ports.
 *
 * @param clientCa PEM: who signs clients' certificates; if it is there, a client must show one
 */
public record ServerTls(PemIdentity identity, Optional<Path> clientCa) {}
