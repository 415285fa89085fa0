;; Calls the host while the host asks for memory. Must crash: it may not leave.
;; ends: declare Crashed
(func $realloc (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
  (local $at i32)
  (call $monitor_log (i32.const 1) (i32.const 1080) (i32.const 8))
  (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
  (global.set $top (i32.add (local.get $at) (local.get $len)))
  (call $reserve (global.get $top))
  (local.get $at))
