package dev.guildhall.checkpoint.torch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

class HostilePickleTest {
  private static final byte[] STORAGE = new byte[64];

  @TempDir Path folder;

  private static PickleWriter pickle() {
    return new PickleWriter();
  }

  private void refused(byte[] pickle, String why) throws IOException {
    RefusedFile.check(folder, ZipWriter.torch(pickle, "0", STORAGE), why);
  }

  @ParameterizedTest(name = "{0}.{1}")
  @CsvSource({
    "os, system",
    "posix, system",
    "nt, system",
    "subprocess, Popen",
    "builtins, eval",
    "builtins, exec",
    "builtins, getattr",
    "__builtin__, eval",
    "torch.jit, load",
    "torch, load",
    "torch.storage, _load_from_bytes",
    "torch._utils, _rebuild_tensor",
    "torch.nn.modules.linear, Linear",
    "numpy.core.multiarray, _reconstruct",
    // What the library would make objects of by itself.
    "datetime, datetime",
    "datetime, timedelta",
    "decimal, Decimal",
    "array, array",
    "builtins, bytearray",
    "__builtin__, bytes",
    "builtins, complex",
    "builtins, ValueError",
    "exceptions, ValueError",
    "pytz, timezone",
    "dateutil.tz, tzfile",
    "dateutil.zoneinfo, gettz",
    "operator, attrgetter",
    "copy_reg, _reconstructor",
    "_codecs, encode",
    "collections, defaultdict",
    "made.up, Anything"
  })
  void refusesAGlobalByNameHoweverItIsAskedFor(String module, String name) throws IOException {
    String why = "asks for " + module + "." + name;
    refused(pickle().global(module, name).text("x").op(0x85).op('R').end(), why);
    refused(pickle().text(module).text(name).op(0x93).text("x").op(0x85).op('R').end(), why);
    refused(pickle().op('(').text("x").raw("i" + module + "\n" + name + "\n").end(), why);
    // Named only, never called.
    refused(pickle().dict().text("k").global(module, name).endDict().end(), why);
  }

  @Test
  void refusesAnAllowedNameInAnotherModule() throws IOException {
    refused(pickle().global("os", "OrderedDict").end(), "asks for os.OrderedDict");
    refused(pickle().raw("iORDERED\ncollections.OrderedDict\n").end(), "asks for ORDERED.coll");
    refused(pickle().op('(').raw("icollections\nOrderedDict\n").end(), "collections.OrderedDict");
  }

  static Stream<Arguments> wrongInstructions() {
    PickleWriter dict = new PickleWriter().op('(');
    return Stream.of(
        arguments("OBJ", dict.global("collections", "OrderedDict").op('o').end(), "OBJ"),
        arguments(
            "NEWOBJ", pickle().global("collections", "OrderedDict").raw(")\u0081").end(), "NEWOBJ"),
        arguments(
            "NEWOBJ_EX",
            pickle().global("collections", "OrderedDict").raw(")}\u0092").end(),
            "NEWOBJ_EX"),
        arguments("EXT1", pickle().raw("\u0082\1").end(), "EXT1"),
        arguments("EXT2", pickle().raw("\u0083\1\1").end(), "EXT2"),
        arguments("EXT4", pickle().raw("\u0084\1\0\0\0").end(), "EXT4"),
        arguments("persistent id as text", pickle().raw("Pstorage\n").end(), "0x50"),
        arguments("next buffer", pickle().op(0x97).end(), "0x97"),
        arguments("unknown", pickle().op(0xff).end(), "0xff"),
        arguments("BUILD of a dict", pickle().raw("}}b").end(), "BUILD"),
        arguments("BUILD of a text", pickle().text("x").raw("}b").end(), "BUILD"),
        arguments(
            "BUILD of a tensor", pickle().vector("FloatStorage", "0", 1).raw("}b").end(), "BUILD"),
        arguments("BUILD of a global", pickle().global("torch", "Size").raw("}b").end(), "BUILD"),
        arguments("call of a text", pickle().text("eval").raw(")R").end(), "no function"),
        arguments("call of a dict", pickle().raw("})R").end(), "no function"),
        arguments("call of a type", pickle().global("torch", "float32").raw(")R").end(), "no func"),
        arguments(
            "call of a storage type",
            pickle().global("torch", "FloatStorage").raw(")R").end(),
            "no function"),
        arguments(
            "call without tuple", pickle().global("torch", "Size").raw("]R").end(), "damaged"),
        arguments(
            "OrderedDict of items",
            pickle().global("collections", "OrderedDict").raw("]\u0085R").end(),
            "OrderedDict"),
        arguments("tensor of nothing", call("_rebuild_tensor_v2", ")"), "without storage"),
        arguments("parameter of nothing", call("_rebuild_parameter", ")"), "without a tensor"),
        arguments("parameter of a dict", call("_rebuild_parameter", "}}}\u0087"), "without a ten"),
        arguments("persistent dict", pickle().raw("}Q").end(), "no storage"),
        arguments("persistent text", pickle().text("storage").raw("Q").end(), "no storage"),
        arguments("persistent short tuple", pickle().raw(")Q").end(), "no storage"),
        arguments(
            "storage of a type that is no storage",
            pickle()
                .op('(')
                .text("storage")
                .global("torch", "float32")
                .text("0")
                .text("cpu")
                .number(1)
                .raw("tQ")
                .end(),
            "no storage"));
  }

  private static byte[] call(String name, String arguments) {
    return call("torch._utils", name, arguments);
  }

  private static byte[] call(String module, String name, String arguments) {
    return pickle().global(module, name).raw(arguments).op('R').end();
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("wrongInstructions")
  void refusesInstructionsThatTensorsDoNotNeed(String name, byte[] pickle, String why)
      throws IOException {
    refused(pickle, why);
  }

  static Stream<Arguments> damaged() {
    return Stream.of(
        arguments("empty", new byte[0], "cut off"),
        arguments("no end", new byte[] {'}'}, "cut off"),
        arguments("end without value", pickle().end(), "damaged"),
        arguments("no dict", pickle().text("x").end(), "does not hold a dict"),
        arguments("None", pickle().op('N').end(), "does not hold a dict"),
        arguments("list", pickle().op(']').end(), "does not hold a dict"),
        arguments("the mark as value", pickle().op('(').end(), "does not hold a dict"),
        arguments("something behind", pickle().raw("}.}").end(), "follows"),
        arguments("protocol 9", new byte[] {(byte) 0x80, 9, '}', '.'}, "damaged"),
        arguments("unknown memo", pickle().raw("h\1").end(), "damaged"),
        arguments("tuple without mark", pickle().raw("t").end(), "damaged"),
        arguments("item for a list", pickle().raw("]K\1K\1s").end(), "damaged"),
        arguments("append to a dict", pickle().raw("}K\1a").end(), "damaged"),
        arguments("append to None", pickle().raw("NK\1a").end(), "damaged"),
        arguments("appends to None", pickle().raw("N(K\1e").end(), "damaged"),
        arguments("item for None", pickle().raw("NK\1K\1s").end(), "damaged"),
        arguments("call with None", pickle().global("torch", "Size").raw("NR").end(), "damaged"),
        arguments(
            "Size of None", pickle().global("torch", "Size").raw("N\u0085R").end(), "damaged"),
        arguments(
            "set of None", pickle().global("builtins", "set").raw("N\u0085R").end(), "damaged"),
        arguments("device of a number", call("torch", "device", "K\1\u0085"), "damaged"),
        arguments("global of None", pickle().raw("NN\u0093").end(), "asks for null.null"),
        arguments("key without value", pickle().raw("}(K\1u").end(), "damaged"),
        arguments("long text", pickle().op('X').int32(Integer.MAX_VALUE).end(), "cut off"),
        arguments("negative text", pickle().op('X').int32(-1).end(), "cut off"),
        arguments("long bytes", pickle().op('B').int32(1 << 30).end(), "cut off"),
        arguments("cut short text", new byte[] {'}', (byte) 0x8c}, "cut off"),
        arguments("cut short number", new byte[] {'}', (byte) 0x8a, 100, 1}, "cut off"),
        arguments("dict as key", pickle().raw("}}K\1s").end(), "dict with a key"),
        arguments("list as key", pickle().raw("}]K\1s").end(), "dict with a key"),
        arguments("key twice", pickle().raw("}(K\1K\2K\1K\3u").end(), "the key \"1\" twice"),
        arguments(
            "name twice",
            pickle().dict().text("1").op('K').op(1).raw("K\1K\1").endDict().end(),
            "two things that are called 1"),
        arguments(
            "path twice",
            pickle()
                .dict()
                .text("a.b")
                .op(0x88)
                .text("a")
                .raw("}")
                .text("b")
                .raw("\u0088s")
                .endDict()
                .end(),
            "two things that are called a.b"));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("damaged")
  void refusesADamagedPickle(String name, byte[] pickle, String why) throws IOException {
    refused(pickle, why);
  }

  @Test
  void refusesDeepNestingWhetherReachedOrNot() throws IOException {
    PickleWriter deep = pickle().dict().text("k");
    for (int i = 0; i < 100_000; i++) {
      deep.op(']');
    }
    for (int i = 0; i < 100_000 - 1; i++) {
      deep.op('a');
    }
    refused(deep.endDict().end(), "nested more than");
  }

  @Test
  void refusesAListThatContainsItself() throws IOException {
    refused(pickle().dict().text("k").raw("]q\1h\1a").endDict().end(), "nested more than");
    refused(pickle().raw("}q\1").text("k").raw("h\1s").end(), "nested more than");
  }

  @Test
  void refusesListsOfListsThatWouldTakeForEver() throws IOException {
    // Each list holds the one before twice: 2^50 leaves.
    PickleWriter bomb = pickle().dict().text("0").raw("](K\1K\1eq\0");
    for (int i = 1; i < 50; i++) {
      bomb.text("" + i).raw("](").op('h').op(i - 1).op('h').op(i - 1).raw("eq").op(i);
    }
    byte[] pickle = bomb.endDict().end();
    assertTimeoutPreemptively(
        Duration.ofSeconds(20), () -> refused(pickle, "repeats its objects too often"));
  }

  @Test
  void refusesTooManyInstructions() throws IOException {
    byte[] memo = new byte[TorchUnpickler.MAX_INSTRUCTIONS + 1];
    memo[0] = '}';
    Arrays.fill(memo, 1, memo.length, (byte) 0x94);
    refused(memo, "more than 8000000 instructions");
  }

  @Test
  void refusesALargePickle() throws IOException {
    refused(new byte[(64 << 20) + 1], "data.pkl has 67108865 bytes; allowed are up to 67108864");
  }

  @Test
  void refusesLongNames() throws IOException {
    refused(
        pickle().dict().text("k".repeat(100_000)).op('N').endDict().end(),
        "more than 1000 characters: kkk");
  }

  @Test
  void doesNotRepeatControlCharactersOfTheFile() throws IOException {
    refused(pickle().global("os\33[31m", "x").end(), "asks for os?[31m.x;");
  }

  @Test
  void dropsTheStateOfAnOrderedDict() throws IOException {
    byte[] pickle =
        pickle()
            .orderedDict()
            .text("k")
            .op(0x88)
            .op('s')
            .dict()
            .text("__class__")
            .text("x")
            .endDict()
            .op('b')
            .end();
    Path file = Files.write(folder.resolve("state.pt"), ZipWriter.torch(pickle));
    try (TorchFile read = TorchFile.open(file)) {
      assertEquals(Set.of("k"), read.values().keySet());
    }
  }
}
