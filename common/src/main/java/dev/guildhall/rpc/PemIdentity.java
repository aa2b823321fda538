package dev.guildhall.rpc;

import java.nio.file.Path;

/**
 * The files by which a process shows who it is.
 *
 * @param certificate PEM: its certificate, and those between it and the CA after it
 * @param key PEM: the certificate's private key, PKCS#8, RSA or EC, not encrypted
 */
public record PemIdentity(Path certificate, Path key) {}
