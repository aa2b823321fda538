package dev.guildhall.router.api.http;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import com.google.gson.JsonElement;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import dev.guildhall.admin.LayerChanges;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.router.admission.Caller;
import dev.guildhall.router.api.oip.InferParameters;
import dev.guildhall.router.api.oip.InferTranslator;
import dev.guildhall.router.api.oip.Models;
import dev.guildhall.router.forward.LayerForward;
import dev.guildhall.tracing.RequestTrace;
import dev.guildhall.tracing.TraceContext;
import dev.guildhall.tracing.TraceSpan;
import java.io.IOException;
import java.net.SocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.eclipse.jetty.http.HttpStatus;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.util.Callback;

/**
 * The Open Inference Protocol over HTTP, below {@code /v2}. A request has a virtual thread to
 * itself, which waits for the answer.
 */
public final class InferenceHandler extends Handler.Abstract {
  /** Of the small objects that ask for an index, say. */
  private static final int MAX_OBJECT_BYTES = 64 << 10;

  private static final String INFER_ROUTE = "/v2/models/{model}/infer";
  private static final String INFER_NAME = "POST " + INFER_ROUTE;

  /** Of an answer, in its span. */
  private static final String STATUS = "http.response.status_code";

  private final Models models;
  private final InferTranslator translator;
  private final LayerForward forward;
  private final HttpCallers callers;
  private final HttpSettings settings;

  public InferenceHandler(
      Models models, LayerForward forward, HttpCallers callers, HttpSettings settings) {
    this.models = models;
    this.translator = new InferTranslator(models, settings.timeout());
    this.forward = forward;
    this.callers = callers;
    this.settings = settings;
  }

  @Override
  public boolean handle(Request request, Response response, Callback callback) {
    // Requests for a server rather than a thing of its have no path.
    Optional<RestPath> path =
        Optional.ofNullable(request.getHttpURI().getCanonicalPath()).flatMap(RestPath::of);
    if (path.isEmpty()) {
      return false;
    }
    Exchange exchange = new Exchange(request, response, callback, settings);
    exchange.attempt(() -> answer(path.get(), exchange));
    return true;
  }

  private void answer(RestPath path, Exchange exchange) throws IOException {
    Caller caller = path.needsToken() ? callers.of(exchange) : Caller.ANYONE;
    exchange.checkMethod(path.method());
    switch (path.kind()) {
      case SERVER -> exchange.json(HttpStatus.OK_200, ModelsJson.server());
      case HEALTH -> health(path, exchange);
      case MODEL -> model(path, caller, exchange);
      case REPOSITORY -> repository(path, exchange);
    }
  }

  private void health(RestPath path, Exchange exchange) {
    switch (path.action()) {
      case "live" -> exchange.json(HttpStatus.OK_200, ModelsJson.flag("live", true));
      case "ready" -> {
        boolean ready = models.ready();
        exchange.json(readyStatus(ready), ModelsJson.flag("ready", ready));
      }
      default -> exchange.notFound();
    }
  }

  /** The protocol wants 4xx for what is not ready. */
  private static int readyStatus(boolean ready) {
    return ready ? HttpStatus.OK_200 : HttpStatus.BAD_REQUEST_400;
  }

  private void model(RestPath path, Caller caller, Exchange exchange) throws IOException {
    switch (path.action()) {
      case "infer" -> infer(path, caller, exchange);
      case "ready" -> {
        Models.Model model = models.model(path.model(), path.version());
        exchange.json(readyStatus(model.ready()), ModelsJson.ready(model));
      }
      case "stats" -> {
        List<Models.Model> asked =
            path.model().isEmpty()
                ? models.all()
                : List.of(models.model(path.model(), path.version()));
        exchange.json(HttpStatus.OK_200, ModelsJson.statistics(models, asked));
      }
      default ->
          exchange.json(
              HttpStatus.OK_200, ModelsJson.metadata(models.model(path.model(), path.version())));
    }
  }

  private void infer(RestPath path, Caller caller, Exchange exchange) throws IOException {
    forward.checkRoom();
    RestCall call = read(path, exchange);
    RequestTrace trace = forward.trace(INFER_NAME, callerSpan(exchange), call.call().id());
    TraceSpan span = trace.span();
    span.tag("http.request.method", "POST").tag("http.route", INFER_ROUTE);
    try {
      infer(call, caller, exchange, trace);
      span.tag(STATUS, HttpStatus.OK_200).end();
    } catch (IOException e) {
      span.giveUp(); // The client has gone, or does not take its answer.
      throw e;
    } catch (RuntimeException | OutOfMemoryError e) {
      trace.fail(e, () -> span.tag(STATUS, exchange.error(e)));
    }
  }

  private RestCall read(RestPath path, Exchange exchange) throws IOException {
    try (RequestBody body = exchange.body(settings.maxBodyBytes())) {
      return new RestCallReader(body, exchange.jsonBytes()).read(path.model(), path.version());
    } catch (RuntimeException | OutOfMemoryError e) {
      forward.refused(e);
      throw e;
    }
  }

  private static TraceContext callerSpan(Exchange exchange) {
    return new TraceContext(
        exchange.header(TraceContext.TRACEPARENT).orElse(""),
        exchange.header(TraceContext.TRACESTATE).orElse(""));
  }

  private void infer(RestCall call, Caller caller, Exchange exchange, RequestTrace trace)
      throws IOException {
    InferTranslator.Ready ready;
    try {
      ready = translator.ready(call.call(), caller, OptionalLong.empty(), trace);
    } catch (RuntimeException | OutOfMemoryError e) {
      forward.refused(e);
      throw e;
    }
    ForwardWait wait = new ForwardWait();
    exchange.onGone(wait);
    wait.cancelWith(forward.start(ready.job(), wait));
    exchange.answer(ready.question().answer(wait.result()), call::isBinary);
  }

  private void repository(RestPath path, Exchange exchange) throws IOException {
    JsonElement asked = object(exchange);
    switch (path.action()) {
      case "index" -> {
        List<Models.Entry> entries = await(models.index(isTrue(asked, "ready")));
        exchange.json(HttpStatus.OK_200, ModelsJson.index(entries));
      }
      case "load" -> {
        LayerChanges changes = changes(exchange);
        InferParameters.checkLoad(parameters(asked));
        await(changes.load(path.model()));
        exchange.empty();
      }
      default -> {
        await(changes(exchange).unload(path.model()));
        exchange.empty();
      }
    }
  }

  private LayerChanges changes(Exchange exchange) {
    Optional<SocketAddress> peer = Optional.ofNullable(exchange.peer());
    return models.changes(peer);
  }

  /** The object of a request that need not have one. */
  private JsonElement object(Exchange exchange) throws IOException {
    String text;
    try (RequestBody body = exchange.body(MAX_OBJECT_BYTES)) {
      text = new String(body.readAllBytes(), StandardCharsets.UTF_8);
    }
    try {
      JsonElement object = JsonParser.parseString(text.isBlank() ? "{}" : text);
      if (object.isJsonObject()) {
        return object;
      }
    } catch (JsonParseException e) {
      // Told below, as anything else that is no object.
    }
    throw invalidArgument("the body is not a JSON object; allowed is one, or none");
  }

  private static boolean isTrue(JsonElement object, String name) {
    JsonElement value = object.getAsJsonObject().get(name);
    if (value == null) {
      return false;
    }
    if (!value.isJsonPrimitive() || !value.getAsJsonPrimitive().isBoolean()) {
      throw invalidArgument("%s is %s; allowed is true or false".formatted(name, value));
    }
    return value.getAsBoolean();
  }

  private static Set<String> parameters(JsonElement object) {
    JsonElement parameters = object.getAsJsonObject().get("parameters");
    if (parameters == null) {
      return Set.of();
    }
    if (!parameters.isJsonObject()) {
      throw invalidArgument("parameters are %s; allowed is an object".formatted(parameters));
    }
    return parameters.getAsJsonObject().keySet();
  }

  private <T> T await(CompletableFuture<T> outcome) {
    try {
      return outcome.copy().orTimeout(settings.timeout().toMillis(), TimeUnit.MILLISECONDS).join();
    } catch (CompletionException e) {
      Throwable cause = LayerChanges.cause(e);
      if (cause instanceof TimeoutException) {
        throw new GuildhallException(
            ErrorCode.DEADLINE_EXCEEDED, "it is not done yet; it goes on", e);
      }
      throw cause instanceof GuildhallException known ? known : e;
    }
  }
}
