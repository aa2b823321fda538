package dev.guildhall.checkpoint.torch;

import static dev.guildhall.checkpoint.torch.Refusal.check;
import static dev.guildhall.checkpoint.torch.Refusal.shown;

import dev.guildhall.checkpoint.torch.TensorView.Storage;
import dev.guildhall.checkpoint.torch.TorchGlobal.Function;
import dev.guildhall.checkpoint.torch.TorchGlobal.StorageType;
import dev.guildhall.error.GuildhallException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import net.razorvine.pickle.Opcodes;
import net.razorvine.pickle.PickleException;
import net.razorvine.pickle.PickleUtils;
import net.razorvine.pickle.Unpickler;
import org.jspecify.annotations.Nullable;

/**
 * Reads a pickle of tensors and plain values, and nothing else.
 *
 * <p>A pickle is a program. Each instruction passes {@link #dispatch} first, which hands those that
 * push plain values on to the library, carries out itself those that name, call or change
 * something, and refuses all others. So neither the library's registry of classes nor its
 * substitutes for unknown ones are ever reached: {@link TorchGlobal} is all that there is. Every
 * object takes an instruction, and these are bounded, and so are memory and memo.
 *
 * <p>What comes out: {@link Map} (in the file's order), {@link List}, {@code Object[]} (tuples),
 * {@link TensorView}, {@link TorchGlobal}, {@link Storage}, {@code String}, {@code Integer}, {@code
 * Long}, {@code BigInteger}, {@code Double}, {@code Boolean}, {@code byte[]}, null. Sets are lists.
 * A list may contain itself.
 */
final class TorchUnpickler extends Unpickler {
  /** About 200,000 tensors. */
  static final int MAX_INSTRUCTIONS = 8_000_000;

  private int instructions;

  private TorchUnpickler() {}

  /**
   * Reads a pickle.
   *
   * @throws GuildhallException INVALID_ARGUMENT saying what is wrong
   */
  static @Nullable Object read(byte[] pickle) {
    TorchUnpickler unpickler = new TorchUnpickler();
    ByteArrayInputStream bytes = new ByteArrayInputStream(pickle);
    try {
      Object value = unpickler.load(bytes);
      check(bytes.available() == 0, "something follows the end of data.pkl");
      return value;
    } catch (IOException e) {
      throw Refusal.of("data.pkl is cut off");
    } catch (PickleException | IndexOutOfBoundsException | ClassCastException e) {
      // The library checks neither the depth of its stack nor what lies on it.
      throw Refusal.of("data.pkl is damaged before byte %d", pickle.length - bytes.available());
    }
  }

  /** Lists what is let in: an instruction that is not named here is refused. */
  @Override
  protected @Nullable Object dispatch(short opcode) throws IOException {
    instructions++;
    check(
        instructions <= MAX_INSTRUCTIONS,
        "data.pkl has more than %d instructions",
        MAX_INSTRUCTIONS);
    return switch (opcode) {
      case Opcodes.PROTO,
          Opcodes.FRAME,
          Opcodes.STOP,
          Opcodes.MARK,
          Opcodes.TUPLE,
          Opcodes.EMPTY_TUPLE,
          Opcodes.TUPLE1,
          Opcodes.TUPLE2,
          Opcodes.TUPLE3,
          Opcodes.NONE,
          Opcodes.NEWTRUE,
          Opcodes.NEWFALSE,
          Opcodes.BININT,
          Opcodes.BININT1,
          Opcodes.BININT2,
          Opcodes.BINFLOAT,
          Opcodes.EMPTY_LIST,
          Opcodes.BINPUT,
          Opcodes.LONG_BINPUT,
          Opcodes.MEMOIZE,
          Opcodes.BINGET,
          Opcodes.LONG_BINGET,
          Opcodes.BINPERSID ->
          super.dispatch(opcode);
      case Opcodes.LONG1, Opcodes.SHORT_BINUNICODE, Opcodes.SHORT_BINBYTES -> {
        checkLength(1);
        yield super.dispatch(opcode);
      }
      case Opcodes.BINUNICODE, Opcodes.BINBYTES -> {
        checkLength(4);
        yield super.dispatch(opcode);
      }
      default -> {
        execute(opcode);
        yield NO_RETURN_VALUE;
      }
    };
  }

  /** The library makes room for a text of the length that is claimed before it reads it. */
  private void checkLength(int lengthBytes) throws IOException {
    input.mark(0);
    long length = 0;
    for (int i = 0; i < lengthBytes; i++) {
      length |= (long) PickleUtils.readbyte(input) << (Byte.SIZE * i);
    }
    if (length < 0 || length > input.available()) {
      throw new IOException("a length reaches beyond the end");
    }
    input.reset();
  }

  private void execute(short opcode) throws IOException {
    switch (opcode) {
      case Opcodes.EMPTY_DICT -> stack.add(new LinkedHashMap<>());
      case Opcodes.EMPTY_SET -> stack.add(new ArrayList<>());
      case Opcodes.SETITEM -> {
        Object value = stack.pop();
        Object key = stack.pop();
        setItems(Arrays.asList(key, value));
      }
      case Opcodes.SETITEMS -> setItems(stack.pop_all_since_marker());
      case Opcodes.APPEND -> {
        Object item = stack.pop();
        list(stack.peek()).add(item);
      }
      case Opcodes.APPENDS, Opcodes.ADDITEMS -> {
        List<?> items = stack.pop_all_since_marker();
        list(stack.peek()).addAll(items);
      }
      case Opcodes.GLOBAL ->
          stack.add(global(PickleUtils.readline(input), PickleUtils.readline(input)));
      case Opcodes.STACK_GLOBAL -> {
        Object name = stack.pop();
        stack.add(global((String) stack.pop(), (String) name));
      }
      case Opcodes.REDUCE -> {
        Object arguments = stack.pop();
        stack.add(call(stack.pop(), tuple(arguments)));
      }
      case Opcodes.BUILD -> {
        // The attributes of a state_dict, which hold the versions of its modules.
        stack.pop();
        check(
            stack.peek() instanceof OrderedDict,
            "data.pkl sets the state of an object (BUILD) that is no collections.OrderedDict");
      }
      case Opcodes.INST ->
          throw refused(PickleUtils.readline(input) + "." + PickleUtils.readline(input));
      default ->
          throw Refusal.of(
              "data.pkl has the instruction %s, which tensors and plain values do not need",
              instruction(opcode));
    }
  }

  private static String instruction(short opcode) {
    return switch (opcode) {
      case Opcodes.OBJ -> "OBJ";
      case Opcodes.NEWOBJ -> "NEWOBJ";
      case Opcodes.NEWOBJ_EX -> "NEWOBJ_EX";
      case Opcodes.EXT1 -> "EXT1";
      case Opcodes.EXT2 -> "EXT2";
      case Opcodes.EXT4 -> "EXT4";
      default -> "0x%02x".formatted(opcode);
    };
  }

  private static TorchGlobal global(String module, String name) {
    return TorchGlobal.find(module, name).orElseThrow(() -> refused(module + "." + name));
  }

  private static GuildhallException refused(String global) {
    return Refusal.of(
        "data.pkl asks for %s; allowed are tensors and plain values, saved for example as"
            + " torch.save(model.state_dict(), file)",
        shown(global));
  }

  private void setItems(List<?> keysAndValues) {
    if (!(stack.peek() instanceof Map<?, ?> target)) {
      throw new PickleException("no dict");
    }
    @SuppressWarnings("unchecked") // Each was made here.
    Map<@Nullable Object, @Nullable Object> dict = (Map<@Nullable Object, @Nullable Object>) target;
    for (int i = 0; i < keysAndValues.size(); i += 2) {
      Object key = keysAndValues.get(i);
      // Anything else may take for ever to hash.
      check(
          key == null
              || key instanceof String
              || key instanceof Number
              || key instanceof Boolean
              || key instanceof Object[],
          "data.pkl has a dict with a key that is no text, number or tuple");
      if (dict.containsKey(key)) {
        throw Refusal.of("data.pkl has the key \"%s\" twice in a dict", shown(key + ""));
      }
      dict.put(key, keysAndValues.get(i + 1));
    }
  }

  private static List<@Nullable Object> list(@Nullable Object value) {
    if (!(value instanceof List<?> list)) {
      throw new PickleException("no list");
    }
    @SuppressWarnings("unchecked") // Each was made here or by the library, for any objects.
    List<@Nullable Object> ofAnything = (List<@Nullable Object>) list;
    return ofAnything;
  }

  private static Object[] tuple(@Nullable Object value) {
    if (!(value instanceof Object[] tuple)) {
      throw new PickleException("no tuple");
    }
    return tuple;
  }

  private static @Nullable Object call(@Nullable Object callable, Object[] arguments) {
    if (!(callable instanceof Function function)) {
      throw Refusal.of("data.pkl calls something that is no function");
    }
    return switch (function) {
      case REBUILD_TENSOR -> tensor(arguments);
      case REBUILD_PARAMETER -> {
        check(
            arguments.length == 3 && arguments[0] instanceof TensorView,
            "data.pkl has a parameter without a tensor");
        yield arguments[0];
      }
      case ORDERED_DICT -> {
        check(arguments.length == 0, "data.pkl has an OrderedDict of a kind that is not supported");
        yield new OrderedDict();
      }
      case SIZE -> {
        check(arguments.length == 1, "data.pkl has a torch.Size without dimensions");
        yield tuple(arguments[0]);
      }
      case SET -> {
        check(arguments.length == 1, "data.pkl has a set without a list");
        yield list(arguments[0]);
      }
      case DEVICE -> device(arguments);
    };
  }

  private static String device(Object[] arguments) {
    return switch (arguments) {
      case Object[] one when one.length == 1 -> (String) one[0];
      case Object[] two when two.length == 2 -> (String) two[0] + ":" + wholeNumber(two[1]);
      default -> throw Refusal.of("data.pkl has a torch.device without a name");
    };
  }

  /** Of storage, offset, size, strides, requires_grad, hooks and, in some files, metadata. */
  private static TensorView tensor(Object[] arguments) {
    if ((arguments.length != 6 && arguments.length != 7)
        || !(arguments[0] instanceof Storage storage)
        || !(arguments[2] instanceof Object[] size)
        || !(arguments[3] instanceof Object[] strides)) {
      throw Refusal.of("data.pkl has a tensor without storage, offset, size and strides");
    }
    return new TensorView(
        storage, wholeNumber(arguments[1]), wholeNumbers(size), wholeNumbers(strides));
  }

  private static List<Long> wholeNumbers(Object[] tuple) {
    check(
        tuple.length <= TensorView.MAX_DIMENSIONS,
        "data.pkl has a tensor of %d dimensions; allowed are up to %d",
        tuple.length,
        TensorView.MAX_DIMENSIONS);
    return Arrays.stream(tuple).map(TorchUnpickler::wholeNumber).toList();
  }

  private static long wholeNumber(@Nullable Object value) {
    return switch (value) {
      case Integer number -> number;
      case Long number -> number;
      case null, default ->
          throw Refusal.of(
              "data.pkl has a tensor with a size that is no whole number up to %d", Long.MAX_VALUE);
    };
  }

  /** A storage: the one thing that torch keeps outside the pickle. */
  @Override
  protected Object persistentLoad(Object id) {
    if (!(id instanceof Object[] parts)
        || parts.length != 5
        || !"storage".equals(parts[0])
        || !(parts[1] instanceof StorageType type)
        || !(parts[2] instanceof String key)) {
      throw Refusal.of("data.pkl refers to something that is no storage of torch");
    }
    return new Storage(type.dtype(), key, wholeNumber(parts[4]));
  }

  /** The one class whose objects may be given a state, which is dropped. */
  private static final class OrderedDict extends LinkedHashMap<Object, Object> {
    private static final long serialVersionUID = 1L;
  }
}
