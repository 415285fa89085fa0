;; Calls the host in the start function. Must crash, or be tolerated: nothing is open but
;; the log.
;; ends: describe Crashed
(start $start)
(func $start
  (call $monitor_log (i32.const 1) (i32.const 1080) (i32.const 8)))
