//! Components that are valid, or nearly so, and small, and that take a compiler without limits a gigabyte or minutes. None
//! of them exports anything that is called: they are not meant to get so far.

use super::encode::wat_component;

/// The sections of a core module that are used here, by their numbers.
const TYPES: u8 = 1;
const IMPORTS: u8 = 2;
const FUNCTIONS: u8 = 3;
const MEMORIES: u8 = 5;
const GLOBALS: u8 = 6;
const EXPORTS: u8 = 7;
const CODE: u8 = 10;
const DATA: u8 = 11;

const END: u8 = 0x0b;
/// One type: no parameters, no results.
const NOTHING: &[u8] = &[0x60, 0, 0];
/// One type: an i32 to an i32.
const NUMBER: &[u8] = &[0x60, 1, 0x7f, 1, 0x7f];

/// Very many functions that do nothing.
pub fn empty_functions(count: usize) -> Vec<u8> {
    functions(NOTHING, count, &[0, END])
}

/// One function of 50,000 locals, so many of which change in each of a hundred loops.
pub fn locals(changing: usize) -> Vec<u8> {
    let mut body = declare(50_000);
    for _ in 0..100 {
        body.extend([0x03, 0x40]);
        for local in 1..changing {
            body.push(0x20);
            number(&mut body, local + 1);
            body.push(0x21);
            number(&mut body, local);
        }
        body.extend([0x20, 0, 0x0d, 0, END]);
    }
    body.extend([0x20, 1, END]);
    functions(NUMBER, 1, &body)
}

/// One function of so many loops within each other, each of which changes another local.
pub fn nested_loops(depth: usize) -> Vec<u8> {
    let locals = depth.min(50_000);
    let mut body = declare(locals);
    for level in 0..depth {
        body.extend([0x03, 0x40, 0x20, 0, 0x21]);
        number(&mut body, 1 + level % (locals - 1));
    }
    for _ in 0..depth {
        body.extend([0x20, 0, 0x0d, 0, END]);
    }
    body.extend([0x20, 1, END]);
    functions(NUMBER, 1, &body)
}

/// One function that does nothing but compute, for as many bytes as a function may have.
pub fn one_giant_function() -> Vec<u8> {
    let mut body = declare(2_000);
    let mut local = 0;
    while body.len() < 7_000_000 {
        local = (local * 31 + 7) % 2_000;
        // local = local * first + local
        body.push(0x20);
        number(&mut body, local);
        body.extend([0x20, 0, 0x6c, 0x20]);
        number(&mut body, (local + 1) % 2_000);
        body.extend([0x6a, 0x21]);
        number(&mut body, local);
    }
    body.extend([0x20, 1, END]);
    functions(NUMBER, 1, &body)
}

/// So many functions with a jump table of 20,000 targets each, out of a thousand blocks.
pub fn jump_tables(count: usize) -> Vec<u8> {
    const BLOCKS: usize = 1_000;
    const TARGETS: usize = 20_000;
    let mut body = vec![0];
    body.extend([0x02, 0x40].repeat(BLOCKS));
    body.extend([0x20, 0, 0x0e]);
    number(&mut body, TARGETS);
    for target in 0..=TARGETS {
        number(&mut body, target % BLOCKS);
    }
    body.extend([END].repeat(BLOCKS));
    body.extend([0x20, 0, END]);
    functions(NUMBER, count, &body)
}

/// Very many types, and imports of each.
pub fn types_and_imports(count: usize) -> Vec<u8> {
    let types = section(TYPES, count, NUMBER);
    let mut imports = Vec::new();
    number(&mut imports, count);
    for n in 0..count {
        let name = n.to_string();
        imports.extend([1, b'm']);
        number(&mut imports, name.len());
        imports.extend(name.as_bytes());
        imports.push(0);
        number(&mut imports, n);
    }
    module(&[types, sized(IMPORTS, &imports)])
}

/// Very many globals, all of them exported.
pub fn globals_and_exports(count: usize) -> Vec<u8> {
    let mut exports = Vec::new();
    number(&mut exports, count);
    for n in 0..count {
        let name = n.to_string();
        number(&mut exports, name.len());
        exports.extend(name.as_bytes());
        exports.push(3);
        number(&mut exports, n);
    }
    module(&[section(GLOBALS, count, &[0x7f, 0, 0x41, 0, END]), sized(EXPORTS, &exports)])
}

/// Very many data segments far from each other in a memory of 4 GiB, and a name of several megabytes.
pub fn data_and_names(segments: usize) -> Vec<u8> {
    let mut data = Vec::new();
    number(&mut data, segments);
    for n in 0..segments {
        data.extend([0, 0x41]);
        signed(&mut data, u32::try_from(n * 40_000).unwrap().cast_signed());
        data.extend([END, 1, b'x']);
    }
    let mut names = vec![4, b'n', b'a', b'm', b'e', 0];
    number(&mut names, 8 << 20);
    number(&mut names, (8 << 20) - 4);
    names.resize(names.len() + (8 << 20) - 4, b'n');
    let memory = [1, 0, 0x80, 0x80, 0x04];
    module(&[sized(MEMORIES, &memory), sized(DATA, &data), sized(0, &names)])
}

/// Components that pass functions of a large type to each other, so that each passing needs much code of the compiler's
/// own.
pub fn adapters(passings: usize) -> Vec<u8> {
    let mut types = "(type $t0 (tuple string (list string)))\n".to_owned();
    for n in 1..6 {
        let last = n - 1;
        types += &format!("(type $t{n} (tuple $t{last} $t{last} $t{last} $t{last}))\n");
    }
    let signature = "(param \"p\" (list $t5)) (result (list $t5))";
    let module = "(core module $m (memory (export \"m\") 1)
        (func (export \"r\") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export \"f\") (param i32 i32) (result i32) unreachable))
      (core instance $i (instantiate $m))
      (alias core export $i \"m\" (core memory $mem)) (alias core export $i \"r\" (core func $r))";
    let lifts: String = (0..passings)
        .map(|n| {
            format!(
                "(func $f{n} (type $sig) (canon lift (core func $i \"f\") (memory $mem) (realloc $r)))
                 (export \"f{n}\" (func $f{n}))\n"
            )
        })
        .collect();
    let outer: String = (0..passings)
        .map(|n| format!("(import \"f{n}\" (func $f{n} (type $sig)))\n(core func $c{n} (canon lower (func $f{n}) (memory $mem) (realloc $r)))\n"))
        .collect();
    let used: String = (0..passings).map(|n| format!("(export \"f{n}\" (func $c{n}))\n")).collect();
    let taken: String =
        (0..passings).map(|n| format!("(import \"x\" \"f{n}\" (func (param i32 i32 i32)))\n")).collect();
    let given: String = (0..passings).map(|n| format!("(with \"f{n}\" (func $a \"f{n}\"))\n")).collect();
    wat_component(&format!(
        "(component
           (component $A {types} (type $sig (func {signature})) {module} {lifts})
           (component $B {types} (type $sig (func {signature})) {module} {outer}
             (core module $user {taken})
             (core instance (instantiate $user (with \"x\" (instance {used})))))
           (instance $a (instantiate $A))
           (instance (instantiate $B {given})))"
    ))
}

/// A component of a thousand instances of a module, and aliases of what each exports.
pub fn instances_and_aliases(aliases: usize) -> Vec<u8> {
    let mut text = "(component (core module $m (func (export \"f\")))\n".to_owned();
    for _ in 0..900 {
        text += "(core instance (instantiate $m))\n";
    }
    for n in 0..aliases {
        text += &format!("(alias core export {} \"f\" (core func))\n", n % 900);
    }
    wat_component(&(text + ")"))
}

/// A component of so many functions of one type and one body.
fn functions(kind: &[u8], count: usize, body: &[u8]) -> Vec<u8> {
    let mut sized_body = Vec::new();
    number(&mut sized_body, body.len());
    sized_body.extend(body);
    module(&[section(TYPES, 1, kind), section(FUNCTIONS, count, &[0]), section(CODE, count, &sized_body)])
}

/// A body's beginning: so many locals, of type i32.
fn declare(locals: usize) -> Vec<u8> {
    let mut body = vec![1];
    number(&mut body, locals - 1);
    body.push(0x7f);
    body
}

/// A core module of these sections, as a component.
fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    let module = [b"\0asm\x01\0\0\0", sections.concat().as_slice()].concat();
    [b"\0asm\x0d\0\x01\0", sized(1, &module).as_slice()].concat()
}

/// A section of the same entry so many times.
fn section(id: u8, count: usize, entry: &[u8]) -> Vec<u8> {
    let mut contents = Vec::new();
    number(&mut contents, count);
    contents.extend(entry.repeat(count));
    sized(id, &contents)
}

fn sized(id: u8, contents: &[u8]) -> Vec<u8> {
    let mut section = vec![id];
    number(&mut section, contents.len());
    section.extend(contents);
    section
}

/// Unsigned LEB128.
fn number(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

/// Signed LEB128.
fn signed(bytes: &mut Vec<u8>, mut value: i32) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if (value == 0 && low & 0x40 == 0) || (value == -1 && low & 0x40 != 0) {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}
