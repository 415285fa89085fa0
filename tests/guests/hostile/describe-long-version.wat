;; Has a version of 8 MiB, `0.1.0-aaa...`. Must be bad output, or be cut wherever it
;; is shown.
;; ends: describe BadOutput
(func $version (param $at i32)
  (local $version i32)
  (local.set $version (call $zeros (i32.const 8388608)))
  (memory.fill (local.get $version) (i32.const 97) (i32.const 8388608))
  (memory.copy (local.get $version) (i32.const 4096) (i32.const 6))
  (call $put (local.get $at) (local.get $version) (i32.const 8388608)))
(data $prefix (i32.const 4096) "0.1.0-")
