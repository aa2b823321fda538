package dev.guildhall.rpc;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import io.grpc.util.CertificateUtils;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Signature;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;

/** Reads PEM files. Errors name the file and never quote it. */
final class Pem {
  private static final byte[] SAMPLE = {1};

  private Pem() {}

  /**
   * The certificates of a file, at least one.
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT if it has none, or what is no
   *     certificate
   */
  static X509Certificate[] certificates(Path file, byte[] content) {
    try {
      X509Certificate[] certificates =
          CertificateUtils.getX509Certificates(new ByteArrayInputStream(content));
      if (certificates.length > 0) {
        return certificates;
      }
    } catch (CertificateException e) {
      // Told below, as a file without any.
    }
    throw invalidArgument(
        "%s has no right certificate; allowed are X.509 certificates in PEM".formatted(file));
  }

  /**
   * The private key of a file.
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT if it has none
   */
  static PrivateKey key(Path file, byte[] content) {
    try {
      return CertificateUtils.getPrivateKey(new ByteArrayInputStream(content));
    } catch (IOException | GeneralSecurityException | IllegalArgumentException e) {
      // Without the cause, which might quote the key.
      throw invalidArgument(
          "%s has no right private key; allowed is one in PEM: PKCS#8 (BEGIN PRIVATE KEY), RSA or"
                  .formatted(file)
              + " EC, not encrypted");
    }
  }

  /**
   * Checks that a key is a certificate's.
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT if it is another's
   */
  static void checkPair(PemIdentity files, X509Certificate certificate, PrivateKey key) {
    try {
      if (belongs(certificate.getPublicKey(), key)) {
        return;
      }
    } catch (GeneralSecurityException e) {
      // One of another algorithm or size.
    }
    throw invalidArgument(
        "the key in %s does not belong to the first certificate in %s; allowed is its own"
            .formatted(files.key(), files.certificate()));
  }

  private static boolean belongs(PublicKey certified, PrivateKey key)
      throws GeneralSecurityException {
    String algorithm = key.getAlgorithm().equals("EC") ? "SHA256withECDSA" : "SHA256withRSA";
    Signature signing = Signature.getInstance(algorithm);
    signing.initSign(key);
    signing.update(SAMPLE);
    Signature verifying = Signature.getInstance(algorithm);
    verifying.initVerify(certified);
    verifying.update(SAMPLE);
    return verifying.verify(signing.sign());
  }
}
