package dev.guildhall.router.api.http;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import org.eclipse.jetty.http.HttpMethod;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.util.Callback;

/**
 * The live page's own files, at {@code /} and below {@code /page}: these and no others. They hold
 * nothing of the router's and are for anyone who reaches the port; what they show is behind the
 * callers' tokens.
 */
public final class PageHandler extends Handler.Abstract {
  private static final String OURS = "/dev/guildhall/router/page/";

  /** As in the pom. */
  private static final String UPLOT = "/META-INF/resources/webjars/uplot/1.6.30/dist/";

  private static final Map<String, String> TYPES =
      Map.of(
          "html", "text/html;charset=utf-8",
          "css", "text/css;charset=utf-8",
          "js", "text/javascript;charset=utf-8",
          "svg", "image/svg+xml");

  private final Map<String, Asset> assets = new TreeMap<>();
  private final HttpSettings settings;

  /**
   * A file.
   *
   * @param tag changes with the content
   */
  record Asset(String type, byte[] content, String tag) {}

  public PageHandler(HttpSettings settings) {
    this.settings = settings;
    add("/", OURS, "index.html");
    for (String file :
        new String[] {
          "page.css",
          "page.js",
          "feed.js",
          "format.js",
          "heatmap.js",
          "tables.js",
          "chart.js",
          "icon.svg"
        }) {
      add("/page/" + file, OURS, file);
    }
    add("/page/uplot.js", UPLOT, "uPlot.iife.min.js");
    add("/page/uplot.css", UPLOT, "uPlot.min.css");
  }

  private void add(String path, String folder, String file) {
    try (InputStream in = PageHandler.class.getResourceAsStream(folder + file)) {
      if (in == null) {
        throw new IllegalStateException("the program lacks its file " + folder + file);
      }
      byte[] content = in.readAllBytes();
      byte[] digest = MessageDigest.getInstance("SHA-256").digest(content);
      String type = TYPES.get(file.substring(file.lastIndexOf('.') + 1));
      assets.put(
          path,
          new Asset(
              String.valueOf(type), content, HexFormat.of().formatHex(digest).substring(0, 16)));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  @Override
  public boolean handle(Request request, Response response, Callback callback) {
    String path = request.getHttpURI().getCanonicalPath();
    Asset asset = path == null ? null : assets.get(path);
    // A tunnel is asked for without a path, which then reads as "/".
    if (asset == null || HttpMethod.CONNECT.is(request.getMethod())) {
      return false;
    }
    Exchange exchange = new Exchange(request, response, callback, settings);
    exchange.attempt(() -> {
      exchange.checkMethod("GET");
      exchange.asset(asset.type(), asset.content(), asset.tag());
    });
    return true;
  }
}
