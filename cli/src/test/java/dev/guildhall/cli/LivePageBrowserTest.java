package dev.guildhall.cli;

import static com.microsoft.playwright.assertions.PlaywrightAssertions.assertThat;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.microsoft.playwright.Browser;
import com.microsoft.playwright.BrowserContext;
import com.microsoft.playwright.BrowserType;
import com.microsoft.playwright.Locator;
import com.microsoft.playwright.Page;
import com.microsoft.playwright.Playwright;
import com.microsoft.playwright.assertions.LocatorAssertions;
import com.microsoft.playwright.options.ColorScheme;
import dev.guildhall.Tools;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterOptions;
import dev.guildhall.router.RouterServer;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The live page in Chromium, without a window. What it looks like is kept in target/screenshots, to
 * be looked at.
 */
class LivePageBrowserTest {
  private static final String CHROMIUM = "chromium";
  private static final Path SCREENSHOTS = Path.of("target", "screenshots");
  private static final String TOKEN = "a-token-that-nobody-guesses";

  /** Of every request's tokens, at once. */
  private static final int TOKENS = 64;

  /** A machine that does other things meanwhile. */
  private static final LocatorAssertions.ContainsTextOptions PATIENTLY =
      new LocatorAssertions.ContainsTextOptions().setTimeout(30_000);

  private static final Page.WaitForConditionOptions MOVED =
      new Page.WaitForConditionOptions().setTimeout(30_000);

  @TempDir private static Path folder;

  private static LayerRepository repository;
  private static Transport transport;
  private static ExpertFleet experts;
  private static RouterServer router;
  private static ManagedChannel channel;
  private static Playwright playwright;
  private static Browser browser;
  private static Thread load;

  /** What must not happen: errors of the page, and requests to others. */
  private final ConcurrentLinkedQueue<String> wrong = new ConcurrentLinkedQueue<>();

  @BeforeAll
  static void start() throws Exception {
    Tools.need(CHROMIUM);
    InferenceModels.write(folder);
    repository = LayerRepository.open(folder);
    transport = new Transport(1, ServedSystem.MAX_MESSAGE_BYTES);
    experts =
        ExpertFleet.start(repository, ExpertFleet.ranks(2), transport, new SimpleMeterRegistry());
    router = router(ServedSystem.options(experts.targets()));
    channel = transport.channel("localhost:" + router.port());
    playwright =
        Playwright.create(
            new Playwright.CreateOptions().setEnv(Map.of("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")));
    browser =
        playwright
            .chromium()
            .launch(
                new BrowserType.LaunchOptions()
                    .setExecutablePath(chromium())
                    .setArgs(List.of("--no-sandbox", "--disable-dev-shm-usage")));
    load = Thread.ofVirtual().start(LivePageBrowserTest::load);
  }

  private static RouterServer router(RouterOptions options) throws Exception {
    RouterServer started =
        RouterServer.start(
            options, repository, transport, transport::channel, new SimpleMeterRegistry());
    started.ready().get(30, TimeUnit.SECONDS);
    return started;
  }

  private static Path chromium() {
    return Arrays.stream(System.getenv("PATH").split(java.io.File.pathSeparator, -1))
        .map(directory -> Path.of(directory, CHROMIUM))
        .filter(Files::isExecutable)
        .findFirst()
        .orElseThrow();
  }

  /** Pictures of digits, some at a time, in waves. */
  private static void load() {
    float[] hiddenStates = Tensors.floats(Digits.HELD_OUT, "hidden_states");
    int requests = hiddenStates.length / Digits.HIDDEN_SIZE / TOKENS;
    for (int i = 0; !Thread.currentThread().isInterrupted(); i++) {
      int from = i % requests * TOKENS * Digits.HIDDEN_SIZE;
      float[] some = Arrays.copyOfRange(hiddenStates, from, from + TOKENS * Digits.HIDDEN_SIZE);
      try {
        MoeLayerServiceGrpc.newBlockingStub(channel)
            .withDeadlineAfter(30, TimeUnit.SECONDS)
            .forward(Requests.of(Digits.LAYER, some, TOKENS, Digits.HIDDEN_SIZE).build());
      } catch (io.grpc.StatusRuntimeException e) {
        return; // The test is over.
      }
      LockSupport.parkNanos((long) (3e7 * (1 + Math.sin(i / 150.0))));
    }
  }

  @AfterAll
  static void stop() throws Exception {
    if (browser == null) {
      return;
    }
    load.interrupt();
    load.join();
    playwright.close();
    channel.shutdownNow();
    router.close();
    experts.close();
    transport.close();
  }

  @BeforeEach
  void clear() {
    wrong.clear();
  }

  private Page open(RouterServer shown, int width, int height, ColorScheme scheme) {
    BrowserContext context =
        browser.newContext(
            new Browser.NewContextOptions()
                .setViewportSize(width, height)
                .setColorScheme(scheme)
                .setLocale("en-GB"));
    String origin = "http://localhost:" + shown.httpPort().orElseThrow();
    Page page = context.newPage();
    page.onConsoleMessage(message -> {
      if (message.type().equals("error")) {
        wrong.add(message.text());
      }
    });
    page.onPageError(wrong::add);
    page.onRequest(request -> {
      if (!request.url().startsWith(origin + "/")) {
        wrong.add("a request to " + request.url());
      }
    });
    page.navigate(origin + "/");
    return page;
  }

  private static void picture(Page page, String name) {
    page.screenshot(
        new Page.ScreenshotOptions().setPath(SCREENSHOTS.resolve(name + ".png")).setFullPage(true));
  }

  private static String pixels(Page page) {
    return (String) page.evaluate("document.getElementById('heat').toDataURL()");
  }

  /**
   * What axe finds against the accessibility guidelines (WCAG 2.1, A and AA), contrast included.
   */
  private static String barriers(Page page) throws IOException {
    page.evaluate(axe());
    return (String)
        page.evaluate(
            """
            async () => {
              const found = await axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] });
              return found.violations
                  .map((rule) => rule.id + ": " + rule.nodes.map((node) => node.html).join(" "))
                  .join("; ");
            }
            """);
  }

  private static String axe() throws IOException {
    try (InputStream script =
        LivePageBrowserTest.class.getResourceAsStream(
            "/META-INF/resources/webjars/axe-core/4.6.3/axe.min.js")) {
      return new String(requireNonNull(script).readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "desktop-light, 1280, 900, LIGHT",
    "desktop-dark, 1280, 900, DARK",
    "phone-light, 360, 740, LIGHT",
    "phone-dark, 360, 740, DARK"
  })
  void showsTheMapMovingWhileRequestsCome(String name, int width, int height, ColorScheme scheme)
      throws Exception {
    Page page = open(router, width, height, scheme);
    assertThat(page.locator("#connection")).containsText("Live", PATIENTLY);
    assertThat(page.locator("#heat-summary")).containsText("Busiest is expert", PATIENTLY);
    String before = pixels(page);
    page.waitForCondition(() -> !pixels(page).equals(before), MOVED);
    assertThat(page.locator("#layers")).containsText("digits");
    assertThat(page.locator("#layers")).containsText("model/first");
    Locator replicas = page.locator("#replicas tr");
    assertThat(replicas).hasCount(2);
    assertThat(replicas.first()).containsText("serving");
    assertThat(page.locator("#replicas")).containsText("experts 0–3");
    assertThat(page.locator("#tokens")).not().hasText("0");
    Object overflow =
        page.evaluate("Math.max(0, document.documentElement.scrollWidth - window.innerWidth)");
    assertEquals(0, overflow, "the page scrolls sideways");
    picture(page, name);
    assertEquals("", barriers(page));
    assertEquals(List.of(), List.copyOf(wrong));
    page.context().close();
  }

  @Test
  void theMapMovesWhileBenchRuns(@TempDir Path logs) throws Exception {
    try (RouterServer benched = router(ServedSystem.options(experts.targets()))) {
      Page page = open(benched, 1280, 900, ColorScheme.LIGHT);
      assertThat(page.locator("#heat-summary")).containsText("No tokens", PATIENTLY);
      String before = pixels(page);
      try (CommandProcess _ =
          CommandProcess.start(
              logs,
              "bench",
              "layer",
              "--repository=" + folder,
              "--layer=" + Digits.LAYER,
              "--target=localhost:" + benched.port(),
              "--tokens=16",
              "--seconds=30")) {
        assertThat(page.locator("#heat-summary")).containsText("Busiest is expert", PATIENTLY);
        page.waitForCondition(() -> !pixels(page).equals(before), MOVED);
        String first = pixels(page);
        page.waitForCondition(() -> !pixels(page).equals(first), MOVED);
        picture(page, "bench");
      }
      assertEquals(List.of(), List.copyOf(wrong));
      page.context().close();
    }
  }

  @Test
  void canBeReadByKeyboardAndAsATable() {
    Page page = open(router, 1280, 900, ColorScheme.LIGHT);
    assertThat(page.locator("#heat-summary")).containsText("Busiest is expert", PATIENTLY);
    page.locator("#heat").focus();
    page.keyboard().press("ArrowLeft");
    assertThat(page.locator("#heat-cell")).containsText(Pattern.compile("Expert 0, .* per second"));
    page.keyboard().press("ArrowDown");
    assertThat(page.locator("#heat-cell")).containsText("Expert 1,");
    page.keyboard().press("Tab");
    page.keyboard().press("Enter");
    Locator rows = page.locator("#experts tr");
    assertThat(rows).hasCount(8);
    assertThat(rows.first()).containsText("Expert 0");
    assertThat(rows.first()).containsText("%");
    page.locator("#layer").selectOption("tight");
    assertThat(page.locator("#heat-summary")).containsText("No tokens in the last 5 minutes");
    assertThat(rows).hasCount(InferenceModels.EXPERTS);
    picture(page, "empty-layer");
    assertEquals(List.of(), List.copyOf(wrong));
    page.context().close();
  }

  @Test
  void nothingMovesByItselfOnceItIsThere() {
    Page page = open(router, 360, 740, ColorScheme.LIGHT);
    assertThat(page.locator("#heat-summary")).containsText("Busiest is expert", PATIENTLY);
    Object shift =
        page.evaluate(
            """
            () => new Promise((done) => {
              let sum = 0;
              new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) sum += entry.value;
              }).observe({ type: "layout-shift", buffered: false });
              setTimeout(() => done(sum * 1000), 4000);
            })
            """);
    assertTrue(((Number) shift).doubleValue() < 10, "layout shift of " + shift + " thousandths");
    page.context().close();
  }

  @Test
  void saysThatTheConnectionIsLostAndComesBackByItself() throws Exception {
    int port;
    Page page;
    try (RouterServer first = router(ServedSystem.options(experts.targets()))) {
      port = first.httpPort().orElseThrow();
      page = open(first, 1280, 900, ColorScheme.DARK);
      assertThat(page.locator("#connection")).containsText("Live", PATIENTLY);
      assertThat(page.locator("#heat-summary")).containsText("No tokens");
      picture(page, "no-requests-yet");
    }
    assertThat(page.locator("#connection")).containsText("Connection lost", PATIENTLY);
    picture(page, "connection-lost");
    assertEquals("", barriers(page));
    wrong.clear(); // The browser logs each try that fails.
    try (RouterServer second = router(ServedSystem.options(experts.targets()).withHttp(port))) {
      assertThat(page.locator("#connection")).containsText("Live", PATIENTLY);
      assertEquals(port, second.httpPort().orElseThrow());
    }
    page.context().close();
  }

  @Test
  void asksForATokenWhereOneIsNeeded(@TempDir Path files) throws Exception {
    byte[] hash =
        MessageDigest.getInstance("SHA-256").digest(TOKEN.getBytes(StandardCharsets.UTF_8));
    Path callers =
        Files.writeString(
            files.resolve("callers.json"),
            "{\"callers\": [{\"name\": \"tests\", \"token_sha256\": \"%s\"}]}"
                .formatted(HexFormat.of().formatHex(hash)));
    RouterOptions usual = ServedSystem.options(experts.targets());
    RouterOptions guarded =
        new RouterOptions(
                usual.experts(),
                0,
                usual.maxTokensInFlight(),
                usual.exchange(),
                usual.defaultTimeout(),
                Duration.ofMinutes(30),
                usual.lookupInterval(),
                Optional.of(callers))
            .withHttp(0);
    try (RouterServer secured = router(guarded)) {
      Page page = open(secured, 360, 740, ColorScheme.LIGHT);
      assertThat(page.locator("#connection")).containsText("Token needed", PATIENTLY);
      picture(page, "token-needed");
      assertEquals("", barriers(page));
      page.locator("#token").fill("guess");
      page.locator("#token").press("Enter");
      assertThat(page.locator("#connection")).containsText("Wrong token", PATIENTLY);
      page.locator("#token").fill(TOKEN);
      page.locator("#token").press("Enter");
      assertThat(page.locator("#connection")).containsText("Live", PATIENTLY);
      assertThat(page.locator("#login")).isHidden();
      assertThat(page.locator("#layers")).containsText("digits");
      page.context().close();
    }
  }
}
