;; Has a task that there is not. Must crash.
;; ends: describe Crashed
(func $task (param $at i32)
  (i32.store8 (local.get $at) (i32.const 7)))
