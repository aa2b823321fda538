package dev.guildhall.rpc;

import javax.net.ssl.SSLContext;

/**
 * TLS of an HTTP port, with the certificates of gRPC's ports.
 *
 * @param context whose certificates follow their files
 * @param protocol the only one that is spoken
 * @param needsClients whether a client must show a certificate
 */
public record HttpTls(SSLContext context, String protocol, boolean needsClients) {}
