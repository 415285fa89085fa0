;; Starts a thread. Must be refused: that is switched off.
;; ends: admission Invalid
(component
  (core type $start (shared (func (param i32))))
  (core func $spawn (canon thread.spawn-ref $start)))
