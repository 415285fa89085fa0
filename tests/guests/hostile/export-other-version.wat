;; Exports a plan of a later version of the contract. Must be refused, with both versions.
;; ends: admission OtherVersion
(component
  ;; Describes itself as `component` 0.1.0 without arguments, and offers nothing else.
  (core module $main-module
    (memory (export "memory") 1)
    (data (i32.const 128) "component")
    (data (i32.const 256) "0.1.0")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (i32.const 1024))
    (func (export "describe") (result i32)
      (i32.store (i32.const 16) (i32.const 128))
      (i32.store (i32.const 20) (i32.const 9))
      (i32.store (i32.const 24) (i32.const 256))
      (i32.store (i32.const 28) (i32.const 5))
      (i32.const 16))
    ;; plan-error.unsupported, with an empty text
    (func (export "declare") (param i32 i32) (result i32)
      (i32.store8 (i32.const 512) (i32.const 1))
      (i32.store8 (i32.const 516) (i32.const 4))
      (i32.const 512))
    (func (export "other") (param i32 i32) (result i32)
      unreachable))
  (core instance $main (instantiate $main-module))
  (alias core export $main "memory" (core memory $memory))
  (alias core export $main "realloc" (core func $realloc))

  ;; The contract's types, and the six exports.
  (type $dtype-is (enum "boolean" "uint8" "int8" "int16" "int32" "int64" "float16" "bfloat16" "float32" "float64"))
  (export $dtype "dtype" (type $dtype-is))
  (type $scope-is (enum "shared" "local"))
  (export $scope "scope" (type $scope-is))
  (type $kind-is (enum "boolean" "integer" "real" "text" "integers" "reals" "texts"))
  (export $kind "value-kind" (type $kind-is))
  (type $value-is (variant
    (case "boolean" bool) (case "integer" s64) (case "real" f64) (case "text" string)
    (case "integers" (list s64)) (case "reals" (list f64)) (case "texts" (list string))))
  (export $value "value" (type $value-is))
  (type $error-is (variant
    (case "cancelled") (case "invalid-argument" string) (case "bad-data" string)
    (case "non-finite" string) (case "unsupported" string) (case "internal" string)))
  (export $error "plan-error" (type $error-is))
  (type $tensor-spec-is (record
    (field "name" string) (field "dtype" $dtype) (field "shape" (list u64))
    (field "trainable" bool) (field "scope" $scope)))
  (export $tensor-spec "tensor-spec" (type $tensor-spec-is))
  (type $data-spec-is (record
    (field "name" string) (field "dtype" $dtype) (field "shape" (list u64))))
  (export $data-spec "data-spec" (type $data-spec-is))
  (type $task-is (variant (case "classification") (case "regression") (case "other" string)))
  (export $task "task" (type $task-is))
  (type $default-is (variant
    (case "required") (case "input-columns") (case "target-classes") (case "value" $value)))
  (export $default "default" (type $default-is))
  (type $argument-is (record
    (field "name" string) (field "kind" $kind) (field "default" $default) (field "doc" string)))
  (export $argument "argument" (type $argument-is))
  (type $dependency-is (variant
    (case "host-feature" string) (case "data-column" string) (case "runtime" string)))
  (export $dependency "dependency" (type $dependency-is))
  (type $metadata-is (record
    (field "name" string) (field "version" string) (field "task" $task)
    (field "arguments" (list $argument)) (field "dependencies" (list $dependency))))
  (export $metadata "metadata" (type $metadata-is))
  (type $declaration-is (record
    (field "inputs" (list $data-spec)) (field "targets" (list $data-spec))
    (field "model" (list $tensor-spec)) (field "aux-in" (list $tensor-spec))
    (field "aux-out" (list $tensor-spec)) (field "state" (list $tensor-spec))))
  (export $declaration "declaration" (type $declaration-is))
  (type $report-is (record
    (field "steps" u64) (field "rows" u64) (field "metrics" (list (tuple string f64)))))
  (export $report "report" (type $report-is))
  (type $arguments (list (tuple string $value)))
  (func $describe (result $metadata)
    (canon lift (core func $main "describe") (memory $memory)))
  (func $declare (param "arguments" $arguments) (result (result $declaration (error $error)))
    (canon lift (core func $main "declare") (memory $memory) (realloc $realloc)))
  (func $init (param "arguments" $arguments) (result (result (error $error)))
    (canon lift (core func $main "other") (memory $memory) (realloc $realloc)))
  (func $train (param "arguments" $arguments) (result (result $report (error $error)))
    (canon lift (core func $main "other") (memory $memory) (realloc $realloc)))
  (instance $plan
    (export "describe" (func $describe))
    (export "declare" (func $declare))
    (export "init" (func $init))
    (export "train" (func $train))
    (export "predict" (func $init))
    (export "validate" (func $train)))
  (export "fedwasm:training-plan/plan@0.3.0" (instance $plan)))
