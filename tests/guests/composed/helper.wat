;; `local:composed/helper`: `apply("step", values)` adds 0.5 to each float32 of `values`; any other
;; name comes back as the text of an error.
(module
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 1024))
  (func (export "cabi_realloc") (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get $len)))
    (memory.copy (local.get $at) (local.get $old) (local.get $old_len))
    (local.get $at))
  (func (export "local:composed/helper#apply")
    (param $name i32) (param $name_len i32) (param $values i32) (param $values_len i32) (result i32)
    (local $at i32) (local $end i32)
    (global.set $top (i32.const 1024))
    (if (i32.and (i32.eq (local.get $name_len) (i32.const 4))
                 (i32.eq (i32.load (local.get $name)) (i32.const 0x70657473)))
      (then
        (local.set $at (local.get $values))
        (local.set $end (i32.add (local.get $values) (local.get $values_len)))
        (block $done
          (loop $next
            (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
            (f32.store (local.get $at) (f32.add (f32.load (local.get $at)) (f32.const 0.5)))
            (local.set $at (i32.add (local.get $at) (i32.const 4)))
            (br $next)))
        (i32.store8 (i32.const 16) (i32.const 0))
        (i32.store (i32.const 20) (local.get $values))
        (i32.store (i32.const 24) (local.get $values_len)))
      (else
        (i32.store8 (i32.const 16) (i32.const 1))
        (i32.store (i32.const 20) (local.get $name))
        (i32.store (i32.const 24) (local.get $name_len))))
    (i32.const 16)))
