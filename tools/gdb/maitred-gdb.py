# SPDX-License-Identifier: Apache-2.0
"""gdb commands for a program whose requests run on fibers.

  (gdb) source tools/gdb/maitred-gdb.py
  (gdb) fibers              every fiber of every thread, with its backtrace
  (gdb) fibers brief        one line each
  (gdb) fiber 0x7f12..      makes the backtrace of one fiber gdb's own: bt, frame, info locals, ...
  (gdb) fiber off           back to the thread as it is

In one go, on a running process or a core file:

  gdb -p PID -batch -x tools/gdb/maitred-gdb.py -ex fibers

How it works: each thread that runs fibers has a struct fiber_thread (runtime/fiber.c) with a list of them.
One that is suspended has its registers on its own stack, where switch_stack (runtime/switch_*.S) put them.
An unwinder tells gdb that the caller of the thread's innermost frame is whoever called switch_stack there.
No register is written, so that core files will do; frame #0 is the thread's own and means nothing.

The program needs debug information (meson: -Ddebug=true).
"""
import gdb
from gdb.unwinder import Unwinder

# What switch_stack leaves at the saved stack pointer: register, offset; and how many bytes that are.
LAYOUTS = {
    'x86-64': {
        'sp': 'rsp', 'pc': 'rip', 'size': 56,
        'saved': {'r15': 0, 'r14': 8, 'r13': 16, 'r12': 24, 'rbx': 32, 'rbp': 40, 'rip': 48},
    },
    'aarch64': {
        'sp': 'sp', 'pc': 'pc', 'size': 160,
        'saved': {**{f'x{19 + i}': 8 * i for i in range(12)}, 'pc': 88},
    },
}
BACKTRACE_MAX = 60


class FrameId:
    """What gdb wants to know of a frame to tell it from others."""

    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class FiberUnwinder(Unwinder):
    """While a fiber is chosen: the frame behind the innermost one of this thread is the fiber's."""

    def __init__(self):
        super().__init__('maitred-fibers')
        self.thread = None    # global number of the thread that is pretended
        self.innermost = None # its real stack pointer and program counter
        self.saved_sp = 0

    def choose(self, saved_sp):
        layout = layout_of(gdb.selected_frame().architecture())
        self.leave()
        frame = gdb.newest_frame()
        self.innermost = tuple(int(frame.read_register(layout[r])) for r in ('sp', 'pc'))
        self.thread = gdb.selected_thread().global_num
        self.saved_sp = saved_sp
        gdb.invalidate_cached_frames()

    def leave(self):
        self.thread = None
        gdb.invalidate_cached_frames()

    def __call__(self, pending):
        thread = gdb.selected_thread()
        if self.thread is None or not thread or thread.global_num != self.thread:
            return None
        layout = LAYOUTS.get(arch_name(pending.architecture()))
        sp, pc = (pending.read_register(layout[r]) for r in ('sp', 'pc'))
        if (int(sp), int(pc)) != self.innermost:
            return None
        # gdb believes in callers only above their callees: this frame pretends to lie just below.
        caller = pending.create_unwind_info(FrameId(gdb.Value(self.saved_sp).cast(sp.type), pc))
        word = gdb.lookup_type('unsigned long')
        for register, offset in layout['saved'].items():
            place = gdb.Value(self.saved_sp + offset).cast(word.pointer())
            caller.add_saved_register(register, place.dereference())
        caller.add_saved_register(layout['sp'], gdb.Value(self.saved_sp + layout['size']).cast(word))
        return caller


def arch_name(architecture):
    name = architecture.name()
    return 'x86-64' if 'x86-64' in name else 'aarch64' if 'aarch64' in name else name


def layout_of(architecture):
    layout = LAYOUTS.get(arch_name(architecture))
    if not layout:
        raise gdb.GdbError(f'no fibers on {architecture.name()}: their registers are kept in another way there')
    return layout


unwinder = FiberUnwinder()
gdb.unwinder.register_unwinder(None, unwinder, replace=True)


def thread_variables():
    """What stands for `thread` of runtime/fiber.c, each thread's struct fiber_thread or NULL.  After
    link-time optimisation that may be two symbols, of which one does not know its place."""
    symbols = [s for s in gdb.lookup_static_symbols('thread') if str(s.type) == 'struct fiber_thread *']
    if not symbols:
        raise gdb.GdbError('no debug information of runtime/fiber.c: build with -Ddebug=true')
    return symbols


def thread_value(symbols):
    """The selected thread's struct fiber_thread, None when it runs no fibers."""
    for symbol in symbols:
        value = symbol.value()
        if not value.is_optimized_out:
            return value.dereference() if int(value) else None
    raise gdb.error('the compiler kept no place for the variable `thread`')


def members(head):
    """The fibers in a list, newest first; a list that was overwritten does not hold us up."""
    fiber = gdb.lookup_type('struct fiber')
    offset = next(f.bitpos // 8 for f in fiber.fields() if f.name == 'all')
    link, seen = head['next'], 0
    while link != head.address and int(link) and seen < 1000000:
        yield gdb.Value(int(link) - offset).cast(fiber.pointer())
        link, seen = link['next'], seen + 1


def each_thread():
    """Selects one thread after the other; yields it and its struct fiber_thread."""
    symbols = thread_variables()
    for thread in sorted(gdb.selected_inferior().threads(), key=lambda t: t.num):
        thread.switch()
        gdb.newest_frame().select()
        try:
            value = thread_value(symbols)
        except gdb.error as error:
            print(f'Thread {thread.num}: {error}')
            continue
        if value is not None:
            yield thread, value


def symbol_at(address):
    """Name of the function at an address."""
    block = gdb.block_for_pc(int(address))
    while block and not block.function:
        block = block.superblock
    return block.function.name if block else hex(int(address))


def describe(fiber, running):
    name = fiber['name'].string(errors='replace') if int(fiber['name']) else '?'
    state = 'runs' if running else 'is ready' if fiber['queued'] else 'is suspended'
    if int(fiber['cancelled']):
        state += f", cancelled: {fiber['cancelled']}"
    return f"fiber {int(fiber):#x} {name}: {symbol_at(fiber['run'])}({int(fiber['arg']):#x}) {state}"


def arguments(frame):
    try:
        block = frame.block()
    except RuntimeError:
        return ''
    while block and not block.function:
        block = block.superblock
    texts = []
    for symbol in block or ():
        if symbol.is_argument:
            try:
                value = symbol.value(frame).format_string(max_elements=64, max_depth=1)
            except (gdb.error, gdb.MemoryError) as error:
                value = f'<{error}>'
            texts.append(f'{symbol.name}={value}')
    return ', '.join(texts)


def print_frames(frame, first=0):
    for number in range(first, first + BACKTRACE_MAX):
        if not frame or frame.pc() == 0:
            return
        place = frame.find_sal()
        where = f' at {place.symtab.filename}:{place.line}' if place.symtab else ''
        print(f'    #{number:<2} {frame.name() or hex(frame.pc())} ({arguments(frame)}){where}')
        try:
            frame = frame.older()
        except gdb.error as error:
            print(f'    {error}')
            return
    print('    ...')


def has_begun(fiber):
    """False for one that stands where switch_prepare put it: at the first instruction of entry()."""
    layout = layout_of(gdb.selected_frame().architecture())
    word = gdb.lookup_type('unsigned long').pointer()
    pc = (fiber['sp'] + layout['saved'][layout['pc']]).cast(word).dereference()
    function = gdb.lookup_static_symbol('entry') or gdb.lookup_global_symbol('entry')
    block = gdb.block_for_pc(int(pc))
    return not (block and block.start == int(pc)) and (not function or int(function.value().address) != int(pc))


def print_backtrace(fiber, running):
    if running:
        print_frames(gdb.newest_frame())
        return
    if not int(fiber['sp']):
        print('    its stack is not in this core file (gcore gives up at a guard page, the kernel does not)')
        return
    if not has_begun(fiber):
        print('    has not begun')
        return
    unwinder.choose(int(fiber['sp']))
    try:
        print_frames(gdb.newest_frame().older())
    finally:
        unwinder.leave()


class Fibers(gdb.Command):
    """List the fibers of all threads with their backtraces: fibers [brief]"""

    def __init__(self):
        super().__init__('fibers', gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        if argument not in ('', 'brief'):
            raise gdb.GdbError('usage: fibers [brief]')
        before, total = gdb.selected_thread(), 0
        if not before:
            raise gdb.GdbError('no process')
        unwinder.leave()
        for thread, fibers in each_thread():
            print(f"Thread {thread.num} ({thread.name}), {int(fibers['count'])} fibers")
            for fiber in members(fibers['all']):
                running = fiber == fibers['current']
                print('  ' + describe(fiber, running))
                total += 1
                if argument != 'brief':
                    print_backtrace(fiber, running)
        before.switch()
        print(f'{total} fibers in all')


class Fiber(gdb.Command):
    """Look at one fiber as if its thread stood there: fiber ADDRESS, fiber off"""

    def __init__(self):
        super().__init__('fiber', gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        unwinder.leave()
        if argument in ('', 'off'):
            return
        wanted = int(gdb.parse_and_eval(argument))
        for _, fibers in each_thread():
            for fiber in members(fibers['all']):
                if int(fiber) == wanted:
                    self.enter(fiber, fiber == fibers['current'])
                    return
        raise gdb.GdbError(f'no fiber at {wanted:#x}: see `fibers brief`')

    def enter(self, fiber, running):
        print(describe(fiber, running))
        if not running:
            unwinder.choose(int(fiber['sp']))
            gdb.newest_frame().older().select()


Fibers()
Fiber()
