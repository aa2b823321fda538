package dev.guildhall.router.api.http;

import java.nio.ByteBuffer;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.http.HttpStatus;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.server.handler.ErrorHandler;
import org.eclipse.jetty.util.Callback;

/** Tells what the HTTP server itself finds wrong in the form of our own errors. */
final class JsonErrors extends ErrorHandler {
  @Override
  public boolean errorPageForMethod(String method) {
    return true;
  }

  @Override
  protected void generateResponse(
      Request request,
      Response response,
      int code,
      String message,
      Throwable cause,
      Callback callback) {
    HttpErrors.headers(request, code, response.getHeaders());
    response.getHeaders().put(HttpHeader.CONTENT_TYPE, HttpErrors.JSON);
    response.write(true, ByteBuffer.wrap(HttpErrors.body(text(code, message))), callback);
  }

  /** Without the cause of a failure of ours, which is logged. */
  private static String text(int code, String message) {
    return message == null || code >= HttpStatus.INTERNAL_SERVER_ERROR_500
        ? HttpStatus.getMessage(code)
        : message;
  }
}
